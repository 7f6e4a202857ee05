"""Whether a candidate becomes champion. Moving the alias is another module's work; this one only decides."""

from __future__ import annotations

from collections.abc import Sequence

from stsflow.tasks.evaluation.guard import outcome_of
from stsflow.tasks.records.release import Release
from stsflow.tasks.rules import Rule
from stsflow.tasks.rules.candidacy import Candidacy


def decide(rules: Sequence[Rule], candidacy: Candidacy, guards: Sequence[Rule] = ()) -> Release:
    """The decision with the outcome of every rule and guard: promoted only when there are rules and all of both hold.

    A candidate whose weights are the champion's own is never promoted: there would be nothing to gain, and the trail
    of who replaced whom would lie. What a person turned down stays out, whatever the rules say, until a person lets it
    in: a schedule runs the same recipe every week, and makes the same weights.
    """
    outcomes = (*(rule.outcome(candidacy) for rule in rules), *(outcome_of(guard, candidacy) for guard in guards))
    champion = candidacy.champion
    if champion is not None and champion.model_digest == candidacy.candidate.model_digest:
        return Release(promoted=False, outcomes=outcomes, reason="not promoted: the candidate is the champion itself")
    if candidacy.turned_down is not None:
        return Release(promoted=False, outcomes=outcomes, reason=f"not promoted: {candidacy.turned_down}")
    if not rules:
        reason = "not promoted: the recipe has no promotion rules"
        return Release(promoted=False, outcomes=outcomes, reason=reason)
    failed = [outcome for outcome in outcomes if not outcome.holds]
    if failed:
        reasons = "; ".join(f"{outcome.rule}: {outcome.reason}" for outcome in failed)
        return Release(promoted=False, outcomes=outcomes, reason=f"not promoted: {reasons}")
    reasons = "; ".join(f"{outcome.rule}: {outcome.reason}" for outcome in outcomes)
    return Release(promoted=True, outcomes=outcomes, reason=f"promoted: {reasons}")


def compared_metrics(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Metrics that the rules compare between models, for whoever works out the paired differences."""
    return tuple(dict.fromkeys(rule.metric_named for rule in rules if rule.compares and rule.metric_named))
