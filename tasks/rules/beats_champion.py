"""Better than the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.rules.family import RuleOnASuite

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class BeatsChampion(RuleOnASuite):
    """The candidate is better than the champion on the same rows; holds when there is no champion yet."""

    kind: Literal["beats_champion"] = "beats_champion"
    compares: ClassVar[bool] = True
    margin: float = Field(default=0.0, ge=0, le=100)
    """The lower end of the interval must lie above this."""

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds without a champion, or when the interval of candidate minus champion lies above the margin."""
        if candidacy.champion is None:
            return self.says(True, "there is no champion yet")
        suite = self.suite or candidacy.headline
        return self.better(candidacy, candidacy.champion, "the champion", suite, self.metric, self.margin)
