"""When a candidate may become champion: the family of rules, all of which must hold.

A rule states its `outcome` on what was measured: whether it holds, one sentence why, and the numbers of that sentence.
What could not be measured never holds. Comparisons look at the end of the paired interval that is worse for the
candidate, not at the difference.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.suites import Suite

if TYPE_CHECKING:
    from stsflow.tasks.records.evaluation import EvaluationReport
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class Rule(Kind):
    """One condition on a candidate."""

    compares: ClassVar[bool] = False
    """Whether it compares the candidate with another model on the same rows, so that it takes a paired interval."""

    @property
    def suites_named(self) -> tuple[str, ...]:
        """Suites on which it looks at scores; none named, where it does: the headline suite."""
        return ()

    @property
    def metric_named(self) -> str | None:
        """The metric that it looks at; None: each suite's own primary metric."""
        return None

    @property
    def suites_explained(self) -> tuple[str, ...]:
        """Suites of which it says something besides."""
        return ()

    @abstractmethod
    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Whether it holds, and why."""

    def says(self, holds: bool, reason: str, numbers: dict[str, float] | None = None) -> RuleOutcome:
        """Its outcome as a record."""
        from stsflow.tasks.records.release import RuleOutcome

        return RuleOutcome(rule=self.kind, holds=holds, reason=reason, numbers=numbers or {})

    def better(
        self, candidacy: Candidacy, other: EvaluationReport, called: str, suite: str, metric: str | None, margin: float
    ) -> RuleOutcome:
        """Whether the candidate is better than `other` by more than `margin`: by the whole of the paired interval."""
        mine, theirs = candidacy.candidate.suites.get(suite), other.suites.get(suite)
        if mine is None or theirs is None:
            whose = "the candidate" if mine is None else called
            return self.says(False, f"{whose} was not evaluated on {suite}")
        if mine.data_digest != theirs.data_digest:
            return self.says(
                False,
                f"the candidate and {called} were evaluated on different rows of {suite} (data digest "
                f"{mine.data_digest[:12]} and {theirs.data_digest[:12]}); evaluate {called} again on the same data",
            )
        metric = metric or mine.primary
        found = candidacy.difference(other, suite, metric)
        if found is None or found.interval is None:
            return self.says(False, f"there is no paired interval of {metric} on {suite} against {called}")
        low, high = found.interval.low, found.interval.high
        known = Suite.of(mine.kind).metric(metric)
        side, bar = ("above", margin) if known.higher_is_better else ("below", 0.0 - margin)
        holds = min(known.gain(low), known.gain(high)) > margin
        reason = (
            f"{metric} on {suite} against {called}: {found.difference:+.4f}, {found.interval.confidence:.0%} interval "
            f"{low:+.4f} to {high:+.4f}, which {'lies' if holds else 'does not lie'} {side} {bar:+.4f}"
        )
        if suite == candidacy.chose_checkpoint:
            reason += f" ({suite} also chose the checkpoint, which flatters the candidate)"
        numbers = {"difference": found.difference, "low": low, "high": high, side: bar, "rows": float(found.rows)}
        return self.says(holds, reason, numbers)


class RuleOnASuite(Rule):
    """A rule that looks at one suite."""

    suite: str | None = None
    """Suite to look at; default: the headline suite."""
    metric: str | None = None
    """Metric to look at; default: the headline metric of the suite, such as `spearman_cosine` or `ndcg_at_10`."""

    @property
    def suites_named(self) -> tuple[str, ...]:
        """The one that it names, if it does."""
        return () if self.suite is None else (self.suite,)

    @property
    def metric_named(self) -> str | None:
        """Its own, if it names one."""
        return self.metric
