"""When a candidate may become champion: typed rules, all of which must hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.schema import Section


class BeatsBase(Section):
    """The candidate is better than the base model: the paired interval of the difference lies above the margin."""

    kind: Literal["beats_base"] = "beats_base"
    suite: str
    """Suite to compare on; it should be one that chose neither the checkpoint nor the hyperparameters."""
    metric: str = "spearman_cosine"
    """Metric to compare."""
    margin: float = Field(default=0.0, ge=0)
    """The lower end of the interval must lie above this."""


class BeatsChampion(Section):
    """The candidate is better than the champion on the same rows; holds when there is no champion yet."""

    kind: Literal["beats_champion"] = "beats_champion"
    suite: str
    """Suite to compare on."""
    metric: str = "spearman_cosine"
    """Metric to compare."""
    margin: float = Field(default=0.0, ge=0)
    """The lower end of the interval must lie above this."""


class NotWorse(Section):
    """On no listed suite is the candidate worse than the champion by more than the margin (non-inferiority)."""

    kind: Literal["not_worse"] = "not_worse"
    suites: tuple[str, ...] = Field(min_length=1)
    """Suites to compare on."""
    metric: str = "spearman_cosine"
    """Metric to compare."""
    margin: float = Field(default=0.01, gt=0)
    """Largest loss that is accepted: the lower end of the interval must lie above minus this."""


class MinimumScore(Section):
    """The score on a suite reaches a fixed bar."""

    kind: Literal["minimum_score"] = "minimum_score"
    suite: str
    """Suite to look at."""
    metric: str = "spearman_cosine"
    """Metric to look at."""
    score: float
    """Lowest score that passes."""


Rule = Annotated[BeatsBase | BeatsChampion | NotWorse | MinimumScore, Field(discriminator="kind")]
