"""What the ledger of looks comes down to: how much evidence each test set holds, and what the next decision needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from stsflow.tasks.records.looks import Account, ErrorBudget, Look
from stsflow.tasks.release.looks import spent_on
from stsflow.tasks.statistics.power import rows_needed
from stsflow.tasks.statistics.spending import next_part

GAINS = (0.005, 0.01, 0.02)
"""True gains, half a point to two points of a score, for which an account says the rows."""


def accounts_of(looks: Iterable[Look]) -> list[Account]:
    """The account of each test set, the one that was looked at last first; by the plan of its last look."""
    by_rows: dict[str, list[Look]] = {}
    for look in sorted(looks, key=lambda one: one.when):
        by_rows.setdefault(look.rows_digest, []).append(look)
    found = sorted(by_rows.values(), key=lambda own: own[-1].when, reverse=True)
    return [account_of(own, own[-1].budget or ErrorBudget(), own[-1].rows_digest, own[-1].rows) for own in found]


def account_of(
    looks: list[Look], budget: ErrorBudget, rows_digest: str, rows: int, error: float | None = None
) -> Account:
    """The account of one test set from the looks at it, oldest first. `error` is the standard error of a comparison on
    its rows where there was no look yet.
    """
    spent = spent_on(looks, budget, datetime.now(UTC))
    level = next_part(budget.level, budget.looks, spent)
    error = looks[-1].error if looks else error
    needed: dict[str, int] = {}
    if error is not None and level > 0:
        found = {gain: rows_needed(gain, error, rows, confidence=1.0 - 2.0 * level) for gain in GAINS}
        needed = {f"{gain:g}": count for gain, count in found.items() if count is not None}
    return Account(
        rows_digest=rows_digest, suites=tuple(dict.fromkeys(look.suite for look in looks)), rows=rows, looks=len(looks),
        budget=budget, left=max(0.0, 1.0 - spent / budget.level), next_level=level, rows_for=needed,
    )  # fmt: skip
