"""A bound on the time to encode one text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stsflow.tasks.rules.family import Rule

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class MaximumLatency(Rule):
    """One text is encoded within a bound, on the machine and device that evaluate: not those that serve.

    Measured so that other work on the machine does not decide: the best of several blocks, and on a CPU no more than
    the processor time. The outcome states the spread.
    """

    kind: Literal["maximum_latency"] = "maximum_latency"
    milliseconds: float = Field(gt=0, le=1e7)
    """Longest median time to encode one text alone, in the best block."""

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds when the latency was measured and is within the bound."""
        found = candidacy.candidate.latency
        if found is None:
            return self.says(False, "the latency of the candidate was not measured")
        holds = found.milliseconds <= self.milliseconds
        reason = (
            f"one text takes {found.milliseconds:.1f} ms, {'within' if holds else 'over'} {self.milliseconds:.1f} ms "
            f"(median of {found.texts} texts, {found.blocks} blocks: {found.wall_best:.1f} to {found.wall_worst:.1f} "
            f"ms by the clock, {found.processor:.1f} ms of processor time)"
        )
        numbers = {
            "milliseconds": found.milliseconds, "bound": self.milliseconds, "wall_best": found.wall_best,
            "wall_worst": found.wall_worst, "processor": found.processor,
        }  # fmt: skip
        return self.says(holds, reason, numbers)
