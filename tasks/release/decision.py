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
    champion, promoted = candidacy.champion, False
    if champion is not None and champion.model_digest == candidacy.candidate.model_digest:
        why = "the candidate is the champion itself"
    elif candidacy.turned_down is not None:
        why = candidacy.turned_down
    elif not rules:
        why = "the recipe has no promotion rules"
    else:
        failed = [outcome for outcome in outcomes if not outcome.holds]
        promoted = not failed
        why = "; ".join(f"{outcome.rule}: {outcome.reason}" for outcome in failed or outcomes)
    reason = f"{'promoted' if promoted else 'not promoted'}: {why}"
    return Release(promoted=promoted, outcomes=outcomes, looks=candidacy.looks, reason=reason)


def compared_metrics(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Metrics that the rules compare between models, for whoever works out the paired differences."""
    return tuple(dict.fromkeys(rule.metric_named for rule in rules if rule.compares and rule.metric_named))
