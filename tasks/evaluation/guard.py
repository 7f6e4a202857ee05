"""The guard against forgetting: what the rules of `evaluation.guard` say of base and tuned model."""

from __future__ import annotations

from collections.abc import Iterable

from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import Difference, EvaluationReport
from stsflow.tasks.records.release import RuleOutcome
from stsflow.tasks.rules import Rule
from stsflow.tasks.rules.candidacy import Candidacy


def outcome_of(guard: Rule, candidacy: Candidacy) -> RuleOutcome:
    """What a guard's rule says, under the name of what it is there for."""
    return guard.outcome(candidacy).model_copy(update={"rule": "guard"})


def guard_outcomes(
    recipe: RunConfig, base: EvaluationReport, tuned: EvaluationReport, differences: Iterable[Difference]
) -> dict[str, RuleOutcome]:
    """By guard suite, whether the tuned model kept it, judged as promotion judges it."""
    candidacy = Candidacy(
        candidate=tuned, base=base, differences=tuple(differences), headline=recipe.headline_suite,
        chose_checkpoint=recipe.choosing_suite,
    )  # fmt: skip
    return {name: outcome_of(guard, candidacy) for name, guard in recipe.guards.items()}
