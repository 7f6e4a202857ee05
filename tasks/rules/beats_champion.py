"""Better than the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.rules.family import RuleOnASuite

if TYPE_CHECKING:
    from stsflow.tasks.records.looks import Claim
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class BeatsChampion(RuleOnASuite):
    """The candidate is better than the champion on the same rows; holds when there is no champion yet.

    Each decision is a look at these rows and is judged at the level that their error budget leaves it
    (release.error_budget); without one, by the paired interval.
    """

    kind: Literal["beats_champion"] = "beats_champion"
    compares: ClassVar[bool] = True
    margin: float = Field(default=0.0, ge=0, le=100)
    """The lower end must lie above this."""

    def claims(self, candidacy: Candidacy) -> tuple[Claim, ...]:
        """The one gain, where there is a champion and both were scored on the suite."""
        from stsflow.tasks.records.looks import Claim

        suite = self.suite or candidacy.headline
        scores = candidacy.candidate.suites.get(suite)
        if candidacy.champion is None or scores is None:
            return ()
        return (Claim(suite=suite, metric=self.metric or scores.primary, margin=self.margin),)

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds without a champion, or when all of what candidate minus champion may be lies above the margin."""
        if candidacy.champion is None:
            return self.says(True, "there is no champion yet")
        suite = self.suite or candidacy.headline
        look = next((look for claim in self.claims(candidacy) if (look := candidacy.look(claim))), None)
        return self.better(candidacy, candidacy.champion, "the champion", suite, self.metric, self.margin, look)
