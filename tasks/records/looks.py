"""Looks at a test set: decisions that might have made a candidate champion, and what each took of the error budget."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from stsflow.tasks.ground.schema import Record, Section


class ErrorBudget(Section):
    """How often promotion may be wrong over all decisions on the same rows, not over one of them."""

    level: float = Field(default=0.05, gt=0, le=0.5)
    """Highest chance that any candidate which is no better than the champion is promoted: in any 365 days with `per:
    year`, ever with `per: looks`."""
    per: Literal["year", "looks"] = "year"
    """`year`: what a decision took comes back after 365 days. `looks`: it never does, and only fresh rows have more."""
    looks: int = Field(default=52, ge=1, le=100_000)
    """Decisions that are planned, in a year or in all. Each takes an even part of the level; more than planned get less
    and less, and never nothing."""


class Claim(Record):
    """That a candidate is better than the champion by more than a margin, on a suite, by a metric."""

    suite: str
    metric: str
    margin: float


class Look(Record):
    """One claim that was judged on one test set; the same candidate, champion, rows and claim are the same look."""

    rows_digest: str
    """Of the test set: its content, whatever it was called."""
    suite: str
    """What it was called then."""
    rows: int
    metric: str
    margin: float
    candidate: str
    """Digest of its weights."""
    champion: str
    difference: float
    """Candidate minus champion."""
    error: float
    """Standard error of that."""
    best_of: int = 1
    """Candidates among which this one was chosen by its score on these very rows."""
    budget: ErrorBudget | None
    """That of the recipe; None: the recipe has none, and the look was judged by its own interval."""
    spent: float
    """What it takes of the level; the most that it may take while it is not `settled`."""
    level: float = 0.0
    """Of the test of this candidate: its part of what is taken, by the union bound over those that it was chosen among.
    Nothing without a budget."""
    settled: bool = False
    number: int = 0
    """Which look at these rows it is, from 1; those at work at the same time may share a number."""
    left: float = 1.0
    """Share of the level that is left after it."""
    when: datetime
    who: str

    @property
    def claim(self) -> Claim:
        """What was judged."""
        return Claim(suite=self.suite, metric=self.metric, margin=self.margin)


class Account(Record):
    """What is left of the error budget of a test set."""

    rows_digest: str
    suites: tuple[str, ...]
    """What it was called, oldest name first."""
    rows: int
    looks: int
    """Decisions that ever looked at it."""
    budget: ErrorBudget
    left: float
    """Share of the level that is left."""
    next_level: float
    """Of the next decision's test."""
    rows_for: dict[str, int] = {}
    """By true gain, such as `0.01`: rows at which a decision at that level would show it with a chance of 80 %."""
