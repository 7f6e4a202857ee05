"""No slice of the rows on which the candidate is shown to be worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.rules.family import Rule
from stsflow.tasks.suites import Suite

if TYPE_CHECKING:
    from stsflow.tasks.records.evaluation import EvaluationReport, SliceDifference
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class NoSliceWorse(Rule):
    """On no slice of the listed suites is the candidate shown to be worse than another model by more than the margin.

    Slices are those of length, overlap, score, script and of the columns that `subsets_by` names. Their intervals hold
    together, however many there are, so that a thousand slices of equal models raise an alarm no more often than one.
    A slice fails when its whole interval lies beyond the margin: a small slice that says nothing does not fail, and the
    reason names the loss that it could have hidden.
    """

    kind: Literal["no_slice_worse"] = "no_slice_worse"
    compares: ClassVar[bool] = True
    suites: tuple[str, ...] = ()
    """Suites to look at; default: the headline suite."""
    margin: float = Field(default=0.0, ge=0, le=100)
    """Loss on a slice that is accepted."""
    against: Literal["champion", "base"] = "champion"
    """The model that it must not be worse than. It holds where there is no champion yet."""

    @property
    def suites_named(self) -> tuple[str, ...]:
        """All of its suites."""
        return self.suites

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds without a champion to compare with, or when no slice's interval lies below minus the margin."""
        if self.against == "base":
            other, called = candidacy.base, "the base model"
        else:
            other, called = candidacy.champion, "the champion"
        if other is None:
            known = self.against == "base"
            return self.says(not known, "the base model was not evaluated" if known else "there is no champion yet")
        parts = [self._on(candidacy, other, called, suite) for suite in self.suites or (candidacy.headline,)]
        failed = [reason for holds, reason, _ in parts if not holds]
        numbers = {name: value for _, _, found in parts for name, value in found.items()}
        return self.says(not failed, "; ".join(failed or [reason for _, reason, _ in parts]), numbers)

    def _on(
        self, candidacy: Candidacy, other: EvaluationReport, called: str, suite: str
    ) -> tuple[bool, str, dict[str, float]]:
        """Whether it holds on one suite, why, and the numbers of the slices that the reason names."""
        mine = candidacy.candidate.suites.get(suite)
        found = candidacy.difference(other, suite, mine.primary) if mine else None
        if mine is None or found is None or found.slices is None or not found.slices.items:
            return False, f"the slices of {suite} were not compared with {called}", {}
        gain = Suite.of(mine.kind).metric(mine.primary).gain

        def best(one: SliceDifference) -> float:
            return max(gain(one.low), gain(one.high))

        def worst(one: SliceDifference) -> float:
            return min(gain(one.low), gain(one.high))

        items, told = found.slices.items, f"{mine.primary} on {suite} against {called}"
        worse = sorted((one for one in items if best(one) < -self.margin), key=best)
        if worse:
            names = ", ".join(
                f"{one.name} ({one.rows:,} rows) {one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})"
                for one in worse
            )
            said = f"{told}: worse on {len(worse)} of {len(items)} slices by more than {self.margin:g}: {names}"
            return False, said, {f"{suite}/{one.name}": one.difference for one in worse}
        lowest, blind = min(items, key=worst), max(items, key=lambda one: one.high - one.low)
        left_out = found.slices.too_small
        small = (
            f"; {left_out:,} slices of fewer than {found.slices.fewest_rows} rows were not compared" if left_out else ""
        )
        reason = (
            f"{told}: no slice of {len(items)} is shown to be worse by more than {self.margin:g}; the lowest interval "
            f"is that of {lowest.name}, {lowest.low:+.4f} to {lowest.high:+.4f}; {blind.name} ({blind.rows:,} rows) "
            f"would show only losses above {(blind.high - blind.low) / 2 + self.margin:.4f}{small}"
        )
        return True, reason, {f"{suite}/slices": float(len(items)), f"{suite}/lowest": worst(lowest)}
