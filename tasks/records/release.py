"""What promotion rules said, and what became of a model."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record


class RuleOutcome(Record):
    """What one promotion rule says."""

    rule: str
    holds: bool
    reason: str
    numbers: dict[str, float] = {}


class Release(Record):
    """What happened to the model after the card was written."""

    registered_as: str | None = None
    version: str | None = None
    promoted: bool = False
    previous: str | None = None
    """Version that was champion before, when this one took its place."""
    outcomes: tuple[RuleOutcome, ...] = ()
    reason: str = ""
    """One sentence: why it was or was not promoted."""
