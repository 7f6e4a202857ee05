"""One thing that was looked at."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.ground.schema import Record

Verdict = Literal["ok", "note", "wrong"]


class Observation(Record):
    """One thing that was looked at."""

    subject: str = ""
    verdict: Verdict
    """`note` is worth knowing and stops nothing; `wrong` will stop a run."""
    found: str
    remedy: str = ""


def ok(found: str) -> Observation:
    """All is well with it."""
    return Observation(verdict="ok", found=found)


def note(found: str, remedy: str = "") -> Observation:
    """Worth knowing; stops nothing."""
    return Observation(verdict="note", found=found, remedy=remedy)


def wrong(found: str, remedy: str) -> Observation:
    """Will stop a run."""
    return Observation(verdict="wrong", found=found, remedy=remedy)
