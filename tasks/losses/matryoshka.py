"""A loss at several sizes of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.ground.schema import Dimension
from stsflow.tasks.losses.family import Loss, PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class Matryoshka(Loss):
    """Any of the losses, on the full embedding and on its leading parts (Kusupati et al., 2022).

    A weighted sum of the inner loss: what holds of that one holds of this, but it reaches into the model's forward.
    """

    kind: Literal["matryoshka"] = "matryoshka"
    wants_trial: ClassVar[bool] = True
    loss: PlainLoss
    """The loss that is applied at each dimension."""
    dimensions: tuple[Dimension, ...] = Field(min_length=1, max_length=64)
    """Leading dimensions to train, such as `[768, 512, 256, 128, 64]`."""
    weights: tuple[Annotated[float, Field(ge=0, le=10_000)], ...] | None = None
    """Weight of each dimension; default: 1 each."""

    @model_validator(mode="after")
    def _each_dimension_once_with_its_weight(self) -> Self:
        for size in self.dimensions:
            if self.dimensions.count(size) > 1:
                raise ValueError(f"`dimensions` names {size} more than once")
        if self.weights is not None and len(self.weights) != len(self.dimensions):
            raise ValueError(
                f"`weights` has {len(self.weights)} numbers for {len(self.dimensions)} `dimensions`; it needs one each"
            )
        return self

    def takes(self, roles: Roles) -> bool:
        return self.loss.takes(roles)

    @property
    def ranks_against_the_batch(self) -> bool:
        return self.loss.ranks_against_the_batch

    @property
    def needs_teacher(self) -> bool:
        return self.loss.needs_teacher

    @property
    def needs_guide(self) -> bool:
        return self.loss.needs_guide

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the inner loss is: a weighted sum of means over the same rows is one too."""
        return self.loss.is_mean_of_rows

    @property
    def rows_at_a_time(self) -> int | None:
        return self.loss.rows_at_a_time

    @property
    def memory_remedy(self) -> str:
        return self.loss.memory_remedy

    @property
    def least_dimension(self) -> int:
        return max(*self.dimensions, self.loss.least_dimension)

    def negatives(self, rows: Any, texts: int) -> Any:
        """The inner loss's."""
        return self.loss.negatives(rows, texts)

    def lighter(self) -> Self | None:
        inner = self.loss.lighter()
        return None if inner is None else self.model_copy(update={"loss": inner})

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

        weights = None if self.weights is None else list(self.weights)
        inner = self.loss.build(model, guide)
        built: nn.Module = MatryoshkaLoss(model, inner, list(self.dimensions), matryoshka_weights=weights)
        return built

    def limit_tokens(self, built: nn.Module, tokens: int) -> None:
        around: Any = built
        self.loss.limit_tokens(around.loss, tokens)

    def describe(self, built: nn.Module) -> dict[str, object]:
        around: Any = built
        inner = self.loss.describe(around.loss)
        described = super().describe(built)
        citations = [str(text) for text in (described["citation"], inner["citation"]) if text]
        parameters = {
            "loss": inner["name"],
            "loss_parameters": inner["parameters"],
            "matryoshka_dims": list(self.dimensions),
            "matryoshka_weights": list(self.weights or [1.0] * len(self.dimensions)),
        }
        return described | {"parameters": parameters, "citation": "\n\n".join(citations), "inner": inner}
