"""`drift`: what texts the champion meets in production."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.ground.schema import LARGEST_SEED, Section
from stsflow.tasks.sources import Source

MEASURES = 4
FEWEST_TEXTS = 50
"""Fewer say nothing that a test could tell from chance."""


class DriftConfig(Section):
    """Unlabelled texts that the weekly look at the champion compares with those that it was trained on."""

    texts: Source
    """Where the texts come from."""
    column: str = "text"
    """Column of the text."""
    against: Source | None = None
    """Compare with these, an earlier window, and not with training's texts."""
    side: Literal["query", "document"] | None = None
    """What the texts are: read behind the model's prompt of that side, and compared with training's anchors (`query`)
    or with what is no anchor (`document`); default: with all texts of training, behind the prompt of texts that are
    alike."""
    sample: int = Field(default=1_000, ge=FEWEST_TEXTS, le=5_000)
    """Texts of each side that are looked at, drawn at random where there are more."""
    level: float = Field(default=0.01, gt=0, le=0.5)
    """Chance of a false alarm in one look, all measures together."""
    permutations: int = Field(default=1_999, ge=99, le=100_000)
    """Permutations of each test."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of what is drawn and permuted."""

    @model_validator(mode="after")
    def _can_find_something(self) -> Self:
        if MEASURES / (1 + self.permutations) > self.level:
            raise ValueError(
                f"permutations: {self.permutations} give no p-value below {1 / (1 + self.permutations):.4g}, and "
                f"{MEASURES} measures at the level {self.level:g} need one of {self.level / MEASURES:.4g}; at least "
                f"{round(MEASURES / self.level + 0.5) - 1} are allowed"
            )
        return self
