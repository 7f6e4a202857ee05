"""The whole recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from stsflow.tasks.ground.schema import Section, Slug
from stsflow.tasks.losses import Loss
from stsflow.tasks.recipe.sections.card import CardConfig
from stsflow.tasks.recipe.sections.data import DataConfig
from stsflow.tasks.recipe.sections.drift import DriftConfig
from stsflow.tasks.recipe.sections.evaluation import EvaluationConfig
from stsflow.tasks.recipe.sections.mining import MiningConfig
from stsflow.tasks.recipe.sections.model import ModelConfig, PromptsConfig, TeacherConfig
from stsflow.tasks.recipe.sections.plan import PlanConfig, TokensConfig
from stsflow.tasks.recipe.sections.release import ReleaseConfig
from stsflow.tasks.recipe.sections.tracking import TrackingConfig
from stsflow.tasks.recipe.sections.training import TrainingConfig
from stsflow.tasks.rules import NotWorse, Rule
from stsflow.tasks.shapes import Roles


class RunConfig(Section):
    """One recipe. It states only how a run differs from the defaults."""

    name: Slug
    """Short name: of the run, its folder and its Prefect flow run."""
    description: str = ""
    """One sentence on what the recipe trains; shown in MLflow and Prefect."""
    data: DataConfig
    """The data that the model learns from."""
    model: ModelConfig
    """The model to start from."""
    prompts: PromptsConfig = PromptsConfig()
    """What goes before the texts."""
    mining: dict[Slug, MiningConfig] = {}
    """Training sets, by name, for whose rows negatives are mined before training."""
    tokens: TokensConfig = TokensConfig()
    """Token statistics."""
    plan: PlanConfig = PlanConfig()
    """What is worked out before training, and when it warns."""
    teacher: TeacherConfig | None = None
    """A model that labels training rows for losses that learn from it."""
    training: TrainingConfig = TrainingConfig()
    """Fine-tuning."""
    evaluation: EvaluationConfig
    """What the models are measured on."""
    card: CardConfig = CardConfig()
    """What the card says that no measurement can know."""
    release: ReleaseConfig = ReleaseConfig()
    """Registration and promotion."""
    tracking: TrackingConfig = TrackingConfig()
    """Where the record goes."""
    drift: DriftConfig | None = None
    """Texts of production that the weekly look at the champion compares with training's; default: none."""

    @classmethod
    def from_recipe(cls, path: Path, overrides: tuple[str, ...] = ()) -> Self:
        """The recipe in the YAML file `path`, with `dotted.key=value` overrides; raises RecipeError with a sentence."""
        from stsflow.tasks.recipe.reading import load_recipe

        return load_recipe(cls, path, overrides)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        from stsflow.tasks.recipe.checks import check_parts_fit

        check_parts_fit(self)
        return self

    def roles_of(self, name: str) -> Roles:
        """What each column of training set `name` is for when training begins."""
        return self._taught_roles(name) or self._roles_untaught(name)

    @property
    def taught(self) -> dict[str, Roles]:
        """The roles of the training sets that the teacher labels, by name."""
        return {name: roles for name in self.data.train if (roles := self._taught_roles(name)) is not None}

    def _taught_roles(self, name: str) -> Roles | None:
        from stsflow.tasks.recipe.taught import taught_roles

        return taught_roles(self.teacher, name, self._roles_untaught(name), self.loss_of(name))

    def _roles_untaught(self, name: str) -> Roles:
        roles = self.data.train[name].shape.roles
        mining = self.mining.get(name)
        return roles.mined(mining.negatives, mining.replace) if mining else roles

    def loss_of(self, name: str) -> Loss:
        """The loss of training set `name`: the recipe's, or the default for its shape."""
        if name in self.training.losses:
            return self.training.losses[name]
        return Loss.of(self.data.train[name].shape.default_loss).model_validate({})

    @property
    def guards(self) -> dict[str, Rule]:
        """The rule by which each guard suite is judged."""
        guard = self.evaluation.guard
        return {name: NotWorse(suites=(name,), margin=how.margin, against="base") for name, how in guard.items()}

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Rows in a batch of each training set."""
        return {name: self.training.batch_sizes.get(name, self.training.batch_size) for name in self.data.train}

    @property
    def choosing_suite(self) -> str | None:
        """Name of the suite that chooses the checkpoint, or None."""
        if self.evaluation.choose_on:
            return self.evaluation.choose_on
        suites = self.evaluation.suites
        return next((name for name, suite in suites.items() if suite.split == "dev" and suite.chooses_by), None)

    @property
    def choosing_metric(self) -> str:
        """The metric of that suite which chooses; empty without one."""
        if (suite := self.choosing_suite) is None:
            return ""
        return self.evaluation.choose_metric or self.evaluation.suites[suite].primary

    @property
    def other_seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings that are averaged with the first one's."""
        count = self.release.merge.seeds if self.release.merge else 1
        return tuple(self.training.seed + number for number in range(1, count))

    @property
    def merging_choice(self) -> tuple[str, str]:
        """Suite and metric that choose the weight of `release.merge`; the suite is empty where there is none."""
        suite = (self.release.merge and self.release.merge.choose_on) or self.choosing_suite or ""
        if not suite or suite == self.choosing_suite:
            return suite, self.choosing_metric
        return suite, self.evaluation.suites[suite].primary

    @property
    def headline_suite(self) -> str:
        """Name of the suite whose score is the headline."""
        if self.evaluation.report_on:
            return self.evaluation.report_on
        tests = [name for name, suite in self.evaluation.suites.items() if suite.split == "test"]
        return tests[0] if tests else list(self.evaluation.suites)[-1]
