"""No overlap of evaluation and training data without a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stsflow.tasks.rules.family import Rule

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class NoUnexplainedLeakage(Rule):
    """No evaluation set shares rows with training, except where the recipe says why that is accepted.

    A row is shared when one of its sentences occurs in training, equal in the widest sense that was measured: nearly
    (data.leakage.near_duplicates), else after normalisation (data.leakage.normalise), else exactly.
    """

    kind: Literal["no_unexplained_leakage"] = "no_unexplained_leakage"
    explained: dict[str, str] = {}
    """By suite: why its overlap with training is accepted."""

    @property
    def suites_explained(self) -> tuple[str, ...]:
        """Those whose overlap is accepted."""
        return tuple(self.explained)

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds when every suite that shares a sentence with a training set has its explanation."""
        leaking = [o for o in candidacy.overlaps if o.widest[1].rows]
        shared = {f"{o.train}/{o.evaluation}": float(o.widest[1].rows) for o in leaking}
        open_ones = [o for o in leaking if not self.explained.get(o.evaluation, "").strip()]
        if open_ones:
            found = ", ".join(
                f"{o.widest[1].rows} of {o.widest[1].of_rows} rows of {o.evaluation} in {o.train} ({o.widest[0]})"
                for o in open_ones
            )
            return self.says(False, f"shared with training and not explained: {found}", shared)
        if leaking:
            reasons = {o.evaluation: self.explained[o.evaluation] for o in leaking}
            return self.says(True, "; ".join(f"{name}: {why}" for name, why in reasons.items()), shared)
        return self.says(True, f"training and evaluation share no sentence{_senses(candidacy)}")


def _senses(candidacy: Candidacy) -> str:
    """In which sense sentences were compared, as far as every pair of sets was."""
    senses = {overlap.widest[0] for overlap in candidacy.overlaps}
    return f" ({', '.join(sorted(senses))})" if senses else ""
