"""A bound on the size of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stsflow.tasks.rules.family import Rule

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class MaximumSize(Rule):
    """The model folder is no larger than a bound."""

    kind: Literal["maximum_size"] = "maximum_size"
    megabytes: float = Field(gt=0, le=1e9)
    """Largest size of the model folder, in units of 1,000,000 bytes."""

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds when the size was measured and is within the bound."""
        size = candidacy.candidate.model_bytes / 1e6
        if not size:
            return self.says(False, "the size of the candidate was not measured")
        holds = size <= self.megabytes
        reason = f"the model takes {size:.1f} MB, {'within' if holds else 'over'} {self.megabytes:.1f} MB"
        return self.says(holds, reason, {"megabytes": size, "bound": self.megabytes})
