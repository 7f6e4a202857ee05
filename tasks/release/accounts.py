"""What the ledger of looks comes down to: how much evidence each test set holds, and what the next decision needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import Difference, EvaluationReport
from stsflow.tasks.records.looks import Account, ErrorBudget, Look
from stsflow.tasks.release.looks import looks_in_the_workspace, looks_of, spent_on
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.statistics.power import rows_needed
from stsflow.tasks.statistics.spending import next_part
from stsflow.tasks.tracking.registry import Registry

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


def account_before(
    registry: Registry, recipe: RunConfig, report: EvaluationReport, differences: Iterable[Difference], *, ask: bool
) -> Account | None:
    """The account of the headline suite's rows before a decision on the model of `report`, where MLflow is away (`ask`
    is false) of what the workspace knows; None where the recipe has no error budget or its rules claim no gain there.
    """
    suite, budget, name = recipe.headline_suite, recipe.release.error_budget, recipe.release.register_as
    scores = report.suites.get(suite)
    against_itself = Candidacy(candidate=report, champion=report, headline=suite)
    claims = [claim for rule in recipe.release.rules for claim in rule.claims(against_itself)]
    if name is None or budget == "off" or scores is None or suite not in {claim.suite for claim in claims}:
        return None
    known = looks_of(registry, name) if ask else looks_in_the_workspace(registry, name)
    own = [look for look in known.values() if look.rows_digest == scores.data_digest]
    found = (one.error for one in differences if (one.suite, one.metric) == (suite, scores.primary))
    return account_of(
        sorted(own, key=lambda look: look.when), budget, scores.data_digest, scores.rows, next(found, None)
    )
