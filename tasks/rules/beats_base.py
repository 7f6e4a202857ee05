"""Better than the base model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.rules.family import RuleOnASuite

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

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds when the interval of candidate minus base lies above the margin."""
        if candidacy.base is None:
            return self.says(False, "the base model was not evaluated")
        suite = self.suite or candidacy.headline
        return self.better(candidacy, candidacy.base, "the base model", suite, self.metric, self.margin)
