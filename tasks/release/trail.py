"""The trail of a registered model: what became champion, which weights a person turned down; who, when and why.

It is kept as tags of the registered model, one a step, so that every workspace that uses the registry reads the same.
Weights are told apart by their digest: the next run of an unchanged recipe makes the very same ones, perhaps under
another version number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field, ValidationError

from stsflow.tasks.ground.environment import user_name
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.tracking.registry import Registry

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
PREFIX = "stsflow.trail."
LONGEST = 4900
"""Characters of a step: a registered model's tag has room for 5,000 on PostgreSQL."""


class Step(Record):
    """One step of the trail."""

    what: Literal["promoted", "rolled back", "rejected", "readmitted", "taken down"]
    old: str | None = Field(alias="from")
    """Version that was champion, or that was turned down."""
    new: str | None = Field(alias="to")
    """Version that is champion now, or that was let in again."""
    who: str
    when: str
    why: str
    weights: str | None = None
    """Of the version that the step is about; steps of earlier releases do not say."""

    def subject(self, registry: Registry, name: str) -> str | None:
        """The weights that the step is about."""
        if self.weights is not None:
            return self.weights
        about = self.new if self.what in ("promoted", "readmitted") else self.old
        return registry.weights_of(name, about) if about else None

    def in_words(self) -> str:
        """`version 2 was rolled back by anna on 2026-11-28T10:00:00+00:00: bad in production`."""
        return f"version {self.old} was {self.what} by {self.who} on {self.when}: {self.why}"


def leave_step(
    registry: Registry, name: str, what: str, old: str | None, new: str | None, why: str, weights: str | None,
    who: str | None = None,
) -> None:  # fmt: skip
    """Add a step to the trail of the registered model; `who` is the person at work where nothing else is said."""
    now = datetime.now(UTC)
    step = {"what": what, "from": old, "to": new, "who": who or user_name(), "when": now.isoformat(timespec="seconds")}
    while len(text := json.dumps({**step, "why": why, "weights": weights}, ensure_ascii=False)) > LONGEST:
        why = why[: len(why) * 3 // 4] + " …"
    registry.note(name, f"{PREFIX}{now:%Y%m%dT%H%M%S%f}", text)


def steps_of(registry: Registry, name: str) -> list[Step]:
    """The trail, oldest step first; raises PreconditionError that names the tag which cannot be read.

    Going on without it might bring back what a person turned down.
    """
    steps = []
    for key, text in sorted(registry.notes(name).items()):
        if key.startswith(PREFIX):
            try:
                steps.append(Step.model_validate_json(text))
            except ValidationError:
                raise PreconditionError(
                    f"the tag {key} of the registered model {name!r} is no step of its trail, so that nobody can say "
                    "which weights were turned down; mend or delete it in MLflow"
                ) from None
    return steps


def made_champion(registry: Registry, name: str) -> str | None:
    """The version that became champion last, as the trail says; None where it says of none."""
    became = [step.new for step in steps_of(registry, name) if step.what in ("promoted", "rolled back")]
    return became[-1] if became else None


def turned_down(registry: Registry, name: str) -> dict[str, Step]:
    """Weights that a person turned down and has not let in again, each with the step that says so."""
    steps = steps_of(registry, name)
    down: dict[str, Step] = {}
    for step in [*steps, *_unsaid(registry, name, steps)]:
        weights = step.subject(registry, name)
        if weights is None:
            continue  # a version that is deleted by now
        if step.what in ("promoted", "readmitted"):
            down.pop(weights, None)
        else:
            down[weights] = step
    return down


def say_what_was_unsaid(registry: Registry, name: str) -> None:
    """Leave the step of a champion that was taken down in MLflow; after the next promotion nobody could tell."""
    for step in _unsaid(registry, name, steps_of(registry, name)):
        leave_step(registry, name, step.what, step.old, step.new, step.why, step.subject(registry, name), who=step.who)


def _unsaid(registry: Registry, name: str, steps: Iterable[Step]) -> list[Step]:
    """A step for a champion whose alias somebody moved or removed in MLflow, where nobody left one.

    `previous` is where a promotion that was killed halfway leaves the old champion: that is no verdict on it.
    """
    last: str | None = None
    for step in steps:
        if step.what in ("promoted", "rolled back"):
            last = step.new
        elif last in (step.old, step.new):  # taken down, and said; or let in again
            last = None
    champion, previous = registry.alias(name, CHAMPION), registry.alias(name, PREVIOUS)
    if last is None or last in {str(found.version) for found in (champion, previous) if found}:
        return []
    why = f"the alias {CHAMPION} was {'moved' if champion else 'removed'} without stsflow"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Step.model_validate(
            {
                "what": "taken down", "from": last, "to": str(champion.version) if champion else None,
                "who": "somebody", "when": f"or before {now}", "why": why,
            }
        )
    ]  # fmt: skip
