"""Tuned and base model averaged: the curve by weight, and what was chosen from it."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.release import RuleOutcome


class MergePoint(Record):
    """One weight of the curve."""

    weight: float
    """Share of the tuned model; 0 is the base model, 1 the tuned one."""
    model_digest: str
    scores: dict[str, float]
    """By suite, in the metric that `Merge.metrics` names."""
    guards: dict[str, RuleOutcome] = {}
    """By guard suite, whether it is kept; of the base model nothing is asked."""

    @property
    def keeps_guards(self) -> bool:
        """Whether no guard is lost."""
        return all(outcome.holds for outcome in self.guards.values())


class MergedSeed(Record):
    """One of several trainings whose mean is the tuned model."""

    seed: int
    model_digest: str
    scores: dict[str, float]
    """By suite, as those of the curve."""
    train_seconds: float
    """Wall time in the loop."""


class Merge(Record):
    """The weights that were tried, and the one that was chosen."""

    suite: str
    """It chose the weight."""
    metrics: dict[str, str]
    """By suite, the metric of the curve."""
    points: tuple[MergePoint, ...]
    """By rising weight, from the base model's to the tuned one's."""
    chosen: float
    seeds: tuple[MergedSeed, ...] = ()
    """Those trainings; none where the tuned model comes from one."""

    @property
    def point(self) -> MergePoint:
        """The chosen one."""
        return next(point for point in self.points if point.weight == self.chosen)


class MergedModel(Record):
    """The model of the chosen weight."""

    merge: Merge
    model: Path
    weights_sha256: str
