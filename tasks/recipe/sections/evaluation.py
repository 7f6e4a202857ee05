"""`evaluation`: what the models are measured on, and what they must not lose."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stsflow.tasks.ground.schema import LARGEST_SEED, Section, Slug
from stsflow.tasks.recipe.sections.bounds import MOST_ROWS_OF_A_BATCH
from stsflow.tasks.suites import Suite


class GuardedSuite(Section):
    """How much of a guard suite the model may lose."""

    margin: float = Field(default=0.01, gt=0, le=100)
    """Largest loss against the base model that is accepted, in the suite's primary metric: the worse end of the paired
    interval must not lie beyond it."""


class EvaluationConfig(Section):
    """What base and tuned model are measured on."""

    suites: dict[Slug, Suite] = Field(min_length=1)
    """Suites by name."""
    choose_on: Slug | None = None
    """Suite that chooses the checkpoint, of a kind that can (all but `mteb`); default: the first such with the split
    `dev`, else none, and the last step is kept."""
    choose_metric: str | None = None
    """Metric of that suite, one of which more is better; default: the one that the suite is judged by."""
    report_on: Slug | None = None
    """Suite whose score is the headline; default: the first whose split is `test`, else the last suite."""
    guard: dict[Slug, GuardedSuite] = {}
    """Guard against forgetting: suites that the model must not lose, such as one of the base model's home task or of
    another language. No model is promoted that is worse on one of them than its base model by more than the margin."""
    explained_overlap: dict[Slug, Annotated[str, Field(min_length=10, max_length=1_000)]] = {}
    """By suite: why it may hold pairs of the suite that chooses the checkpoint. The card repeats it."""
    batch_size: int = Field(default=64, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Sentences encoded at a time."""
    resamples: int = Field(default=10_000, ge=0, le=1_000_000)
    """Bootstrap resamples of each interval; 0 gives no intervals."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the intervals."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of the bootstrap."""
