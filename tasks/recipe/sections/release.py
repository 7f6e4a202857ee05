"""`release`: merging, registration and promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from stsflow.tasks.exports import Export
from stsflow.tasks.ground.names import Branch, HubRepository, ModelName
from stsflow.tasks.ground.schema import Section, Slug
from stsflow.tasks.recipe.sections.bounds import MOST_SEEDS
from stsflow.tasks.records.looks import ErrorBudget
from stsflow.tasks.rules import Rule


class MergeConfig(Section):
    """Average weights: of trainings under several seeds (arXiv 2203.05482), and of the tuned model with its base, a
    remedy for forgetting (arXiv 2109.01903)."""

    seeds: int = Field(default=1, ge=1, le=MOST_SEEDS)
    """Trainings whose mean is the tuned model: of the recipe's seed and of those that follow it."""

    weights: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.25, 0.5, 0.75), max_length=20)
    """Shares of the tuned model to try, in hundredths. The base model (0) and the tuned one (1) always belong to the
    curve; the base model is never chosen."""
    choose_on: Slug | None = None
    """Suite that chooses the weight, among those that keep every suite of `evaluation.guard`; default: the one that
    chooses the checkpoint."""

    @model_validator(mode="after")
    def _in_hundredths(self) -> Self:
        for weight in self.weights:
            if abs(100 * weight - round(100 * weight)) > 1e-9:
                raise ValueError(f"found the weight {weight:g}; at most two decimals are allowed")
        return self


class SignConfig(Section):
    """Sign the model with its card, in minisign's format (extra `sign`)."""

    key: Path | None = None
    """File of the secret key that `minisign -G` wrote; default: the one that the environment variable
    STSFLOW_SIGNING_KEY names. The password of a key that has one comes from STSFLOW_SIGNING_PASSWORD."""


class ApprovalConfig(Section):
    """A person's yes before the alias `champion` moves."""

    timeout_hours: float = Field(default=72.0, gt=0, le=24 * 365)
    """Hours that the question stands; no answer by then is a no. The same weights may be asked about again."""


def _required(value: Any) -> Any:
    """The word `required` stands for the section with its defaults."""
    if isinstance(value, str) and value != "required":
        raise ValueError("allowed: required, or a section with timeout_hours")
    return {} if value == "required" else value


class PushConfig(Section):
    """Push every new champion to a repository of the Hugging Face hub. The token comes from `HF_TOKEN`, or from
    `hf auth login`; it must be one that may write there."""

    repo: HubRepository
    """The repository, `owner/name`. It is made when there is none; one that holds anything else is left alone."""
    private: bool = True
    """Make it private, and refuse to push to one that is public."""
    branch: Branch | None = None
    """Branch to push to, made when missing; default: `main`."""
    pull_request: bool = False
    """Open a pull request instead of changing `main`."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.branch and self.pull_request:
            raise ValueError(
                "found branch and pull_request; allowed: one of them, since the hub opens pull requests on main"
            )
        return self


class ReleaseConfig(Section):
    """What happens to the tuned model."""

    register_as: ModelName | None = None
    """Name of the registered model in MLflow; default: none is registered."""
    merge: MergeConfig | None = None
    """Average tuned and base model before anything is evaluated and released; default: the tuned model stays."""
    sign: SignConfig | None = None
    """Sign weights, card and facts before they are logged and registered; default: nothing is signed."""
    exports: dict[Slug, Export] = {}
    """Further forms of the tuned model, by name (extra `export`): each is measured against it, and released beside it
    only where it costs no more than its limits allow."""
    rules: tuple[Rule, ...] = ()
    """All must hold for the alias `champion` to move. Without rules nothing is promoted."""
    error_budget: ErrorBudget | Literal["off"] = ErrorBudget()
    """How often promotion may be wrong over all decisions on the same rows; `off`: each is judged by its own interval,
    and their errors add up."""
    approval: Annotated[
        ApprovalConfig | None, BeforeValidator(_required, Literal["required"] | ApprovalConfig | None)
    ] = None
    """`required`: what the rules let through waits for a person's yes before it becomes champion; default: it does
    not wait."""
    push: PushConfig | None = None
    """Push the model to the Hugging Face hub once it is champion; default: it is not pushed."""

    @model_validator(mode="after")
    def _something_to_approve(self) -> Self:
        if self.approval is not None and (self.register_as is None or not self.rules):
            raise ValueError("approval asks about what the rules let through: give register_as and rules too")
        return self

    @model_validator(mode="after")
    def _pushes_what_was_promoted(self) -> Self:
        if self.push and not (self.register_as and self.rules):
            raise ValueError("push needs register_as and rules: a model is pushed once the rules have made it champion")
        return self
