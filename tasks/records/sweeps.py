"""Trials of a sweep, and what the card says of the best of them."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from stsflow.tasks.ground.schema import Record


class TrialOutcome(Record):
    """One trial that has ended."""

    number: int
    """From 0."""
    state: Literal["complete", "pruned", "failed"]
    settings: dict[str, JsonValue]
    """By dotted key of the recipe."""
    score: float | None
    """Of a trial that ran to its end the best checkpoint's; of a pruned one the last; by the choosing metric."""
    reason: str = ""
    """Why it failed, or where it was pruned."""
    training: str = ""
    """Fingerprint of its training."""
    mlflow_run_id: str = ""


class Confirmation(Record):
    """A trial's settings under other seeds."""

    number: int
    """Of the trial."""
    scores: dict[int, float]
    """By seed."""

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.scores.values()) / len(self.scores)


class SweepSummary(Record):
    """A sweep, whose best trial has the settings of the card's model."""

    suite: str
    """That chose among the trials, as it chose their checkpoints."""
    metric: str
    fields: tuple[str, ...]
    """Dotted keys of the recipe that were tried."""
    sampler: str
    pruner: str
    seed: int
    scores: tuple[float, ...]
    """Of the trials that ran to their end."""
    pruned: int
    failed: int
    chosen: int
    """Number of the trial."""
    score: float
    """Its own."""
    confirmed: tuple[Confirmation, ...] = ()
    """The best trials once more under seeds that none was chosen by; the best mean is the one that was chosen."""

    @property
    def trials(self) -> int:
        """All of them."""
        return len(self.scores) + self.pruned + self.failed
