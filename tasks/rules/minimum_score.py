"""A fixed bar for a score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stsflow.tasks.rules.family import RuleOnASuite
from stsflow.tasks.suites import Suite

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class MinimumScore(RuleOnASuite):
    """The score on a suite reaches a fixed bar."""

    kind: Literal["minimum_score"] = "minimum_score"
    score: float = Field(ge=-100, le=100)
    """Lowest score that passes; the highest one, where a lower score is better."""

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds when the candidate's score is no worse than the bar."""
        suite = self.suite or candidacy.headline
        scores = candidacy.candidate.suites.get(suite)
        if scores is None:
            return self.says(False, f"the candidate was not evaluated on {suite}")
        metric = self.metric or scores.primary
        found = scores.metrics.get(metric, math.nan)
        if math.isnan(found):
            return self.says(False, f"the candidate has no {metric} on {suite}")
        higher = Suite.of(scores.kind).metric(metric).higher_is_better
        holds = found >= self.score if higher else found <= self.score
        words = {(True, True): "at least", (True, False): "below", (False, True): "at most", (False, False): "above"}
        reason = f"{metric} on {suite} is {found:.4f}, {words[higher, holds]} {self.score:.4f}"
        return self.says(holds, reason, {"score": found, "bar": self.score})
