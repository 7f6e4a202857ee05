"""When a candidate may become champion: the family of rules, all of which must hold.

A rule states its `outcome` on what was measured: whether it holds, one sentence why, and the numbers of that sentence.
What could not be measured never holds. Comparisons look at the end of the paired interval that is worse for the
candidate, not at the difference.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.suites import Suite

if TYPE_CHECKING:
    from stsflow.tasks.records.evaluation import Difference, EvaluationReport
    from stsflow.tasks.records.looks import Claim, Look
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy
    from stsflow.tasks.suites.family import Metric


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

    def claims(self, candidacy: Candidacy) -> tuple[Claim, ...]:  # noqa: ARG002 - for those that claim something
        """The gains over the champion that it holds to be shown: each is a look at its suite's rows, and takes its part
        of their error budget. None where it only holds back what is bad.
        """
        return ()

    @abstractmethod
    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Whether it holds, and why."""

    def says(self, holds: bool, reason: str, numbers: dict[str, float] | None = None) -> RuleOutcome:
        """Its outcome as a record."""
        from stsflow.tasks.records.release import RuleOutcome

        return RuleOutcome(rule=self.kind, holds=holds, reason=reason, numbers=numbers or {})

    def better(
        self, candidacy: Candidacy, other: EvaluationReport, called: str, suite: str, metric: str | None, margin: float,
        look: Look | None = None,
    ) -> RuleOutcome:  # fmt: skip
        """Whether the candidate is better than `other` by more than `margin`: by the whole of the paired interval, or
        at the level that the `look` leaves.
        """
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
        if look is not None and look.budget is not None and not look.level:
            return self.says(False, f"{metric} on {suite} against {called}: {account_in_words(look)}")
        low, high = found.interval.low, found.interval.high
        known = Suite.of(mine.kind).metric(metric)
        side, bar = ("above", margin) if known.higher_is_better else ("below", 0.0 - margin)
        within = f"{found.interval.confidence:.0%} interval {low:+.4f} to {high:+.4f}"
        if look is not None and look.budget is not None:
            worse_end = known.gain(worst_gain(found, known, look.level))
            low, high = (worse_end, high) if known.higher_is_better else (low, worse_end)
            bound = "no less" if known.higher_is_better else "no more"
            within = f"at the level of this look {bound} than {worse_end:+.4f}"
        holds = min(known.gain(low), known.gain(high)) > margin
        reason = (
            f"{metric} on {suite} against {called}: {found.difference:+.4f}, {within}, which "
            f"{'lies' if holds else 'does not lie'} {side} {bar:+.4f}"
        )
        if look is not None:
            reason += f"; {account_in_words(look)}"
        if suite == candidacy.chose_checkpoint:
            reason += f" ({suite} also chose the checkpoint, which flatters the candidate)"
        numbers = {"difference": found.difference, "low": low, "high": high, side: bar, "rows": float(found.rows)}
        return self.says(holds, reason, numbers)


def worst_gain(found: Difference, known: Metric, level: float) -> float:
    """The lower end of the gain at an error of at most `level`, one-sided; -inf where there is nothing to go by."""
    if found.error is None or found.interval is None:
        return -math.inf
    from stsflow.tasks.statistics.spending import lower_end

    degrees = min(found.rows, found.interval.resamples) - 1
    return lower_end(known.gain(found.difference), found.error, degrees, level, known.gain(found.skewness))


def account_in_words(look: Look) -> str:
    """How the look was judged, and what is left."""
    if look.budget is None:
        return f"there is no error budget: this is look {look.number} at these rows, and each errs by its own interval"
    whole = f"{100 * look.budget.level:g} %{' a year' if look.budget.per == 'year' else ''}"
    among = f", the best of {look.best_of}" if look.best_of > 1 else ""
    if not look.level:
        return f"nothing is left of the error budget of these rows ({whole}): only fresh rows bring a new one"
    return f"level {look.level:.2g} (look {look.number} at these rows{among}; {look.left:.0%} of {whole} is left)"


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
