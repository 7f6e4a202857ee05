"""Better than the base model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.rules.family import RuleOnASuite
from stsflow.tasks.suites import Suite

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class BeatsBase(RuleOnASuite):
    """The candidate is better than the base model: the paired interval of the difference lies above the margin."""

    kind: Literal["beats_base"] = "beats_base"
    compares: ClassVar[bool] = True
    suite: str | None = None
    """Suite to compare on; default: the headline suite. It should be one that chose neither the checkpoint nor the
    hyperparameters."""
    margin: float = Field(default=0.0, ge=0, le=100)
    """The lower end of the interval must lie above this."""
    claim: Literal["weights", "recipe"] = "weights"
    """What must be better: these weights, by a paired interval over the rows; or the recipe, whatever its seed, by an
    interval over seeds and rows, which takes `stsflow run --seeds N`."""

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds when the interval of candidate minus base lies above the margin."""
        if candidacy.base is None:
            return self.says(False, "the base model was not evaluated")
        suite = self.suite or candidacy.headline
        if self.claim == "recipe":
            return self._of_the_recipe(candidacy, suite)
        return self.better(candidacy, candidacy.base, "the base model", suite, self.metric, self.margin)

    def _of_the_recipe(self, candidacy: Candidacy, suite: str) -> RuleOutcome:
        """Whether the recipe is better by the whole of the interval over seeds and rows."""
        scores = candidacy.candidate.suites.get(suite)
        metric = self.metric or (scores.primary if scores else "")
        found = next((c for c in candidacy.recipe_claims if (c.suite, c.metric) == (suite, metric)), None)
        if scores is None or found is None or found.interval is None or found.seeds[1] < 2:
            return self.says(
                False, f"the recipe was not compared with the base model over seeds on {suite}: stsflow run --seeds 5"
            )
        known, low, high = Suite.of(scores.kind).metric(metric), found.interval.low, found.interval.high
        holds = min(known.gain(low), known.gain(high)) > self.margin
        side, bar = ("above", self.margin) if known.higher_is_better else ("below", 0.0 - self.margin)
        reason = (
            f"{metric} on {suite}, mean of {found.seeds[1]} seeds against the base model: {found.difference:+.4f}, "
            f"{found.interval.confidence:.0%} interval over seeds and rows {low:+.4f} to {high:+.4f}, which "
            f"{'lies' if holds else 'does not lie'} {side} {bar:+.4f}"
        )
        numbers = {"difference": found.difference, "low": low, "high": high, side: bar, "seeds": float(found.seeds[1])}
        return self.says(holds, reason, numbers)
