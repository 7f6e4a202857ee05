"""One thing that was looked at."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.ground.schema import Record

Verdict = Literal["ok", "note", "wrong"]


class Observation(Record):
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    """`note` is worth knowing and stops nothing; `wrong` will stop a run."""
    found: str
    remedy: str = ""


def ok(subject: str, found: str) -> Observation:
    """All is well with it."""
    return Observation(subject=subject, verdict="ok", found=found)


def note(subject: str, found: str, remedy: str = "") -> Observation:
    """Worth knowing; stops nothing."""
    return Observation(subject=subject, verdict="note", found=found, remedy=remedy)


def wrong(subject: str, found: str, remedy: str) -> Observation:
    """Will stop a run."""
    return Observation(subject=subject, verdict="wrong", found=found, remedy=remedy)
