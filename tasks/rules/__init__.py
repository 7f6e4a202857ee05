"""When a candidate may become champion: typed rules, all of which must hold.

A rule states its `outcome` on the evidence: whether it holds, one sentence why, and the numbers of that sentence. What
could not be measured never holds. Comparisons look at the lower end of the paired interval, not at the difference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from stsflow.tasks.ground.schema import Section

if TYPE_CHECKING:
    from stsflow.tasks.records.evaluation import EvaluationReport
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.release.evidence import Evidence


class BeatsBase(Section):
    """The candidate is better than the base model: the paired interval of the difference lies above the margin."""

    kind: Literal["beats_base"] = "beats_base"
    suite: str | None = None
    """Suite to compare on; default: the headline suite. It should be one that chose neither the checkpoint nor the
    hyperparameters."""
    metric: str | None = None
    """Metric to compare; default: the headline metric of the suite, such as `spearman_cosine` or `ndcg_at_10`."""
    margin: float = Field(default=0.0, ge=0, le=100)
    """The lower end of the interval must lie above this."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds when the interval of candidate minus base lies above the margin."""
        if evidence.base is None:
            return _outcome(self.kind, False, "the base model was not evaluated")
        suite = self.suite or evidence.headline
        return _better(self.kind, evidence, evidence.base, "the base model", suite, self.metric, self.margin)


class BeatsChampion(Section):
    """The candidate is better than the champion on the same rows; holds when there is no champion yet."""

    kind: Literal["beats_champion"] = "beats_champion"
    suite: str | None = None
    """Suite to compare on; default: the headline suite."""
    metric: str | None = None
    """Metric to compare; default: the headline metric of the suite, such as `spearman_cosine` or `ndcg_at_10`."""
    margin: float = Field(default=0.0, ge=0, le=100)
    """The lower end of the interval must lie above this."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds without a champion, or when the interval of candidate minus champion lies above the margin."""
        if evidence.champion is None:
            return _outcome(self.kind, True, "there is no champion yet")
        suite = self.suite or evidence.headline
        return _better(self.kind, evidence, evidence.champion, "the champion", suite, self.metric, self.margin)


class NotWorse(Section):
    """On no listed suite is the candidate worse than the champion by more than the margin (non-inferiority)."""

    kind: Literal["not_worse"] = "not_worse"
    suites: tuple[str, ...] = Field(min_length=1)
    """Suites to compare on."""
    metric: str | None = None
    """Metric to compare; default: the headline metric of the suite, such as `spearman_cosine` or `ndcg_at_10`."""
    margin: float = Field(default=0.01, gt=0, le=100)
    """Largest loss that is accepted: the lower end of the interval must lie above minus this."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds without a champion, or when on each suite the interval lies above minus the margin."""
        if evidence.champion is None:
            return _outcome(self.kind, True, "there is no champion yet")
        parts = [
            _better(self.kind, evidence, evidence.champion, "the champion", suite, self.metric, -self.margin)
            for suite in self.suites
        ]
        numbers = {
            f"{suite}/{name}": value
            for suite, part in zip(self.suites, parts, strict=True)
            for name, value in part.numbers.items()
        }
        failed = [part.reason for part in parts if not part.holds]
        return _outcome(self.kind, not failed, "; ".join(failed or [part.reason for part in parts]), numbers)


class MinimumScore(Section):
    """The score on a suite reaches a fixed bar."""

    kind: Literal["minimum_score"] = "minimum_score"
    suite: str | None = None
    """Suite to look at; default: the headline suite."""
    metric: str | None = None
    """Metric to look at; default: the headline metric of the suite."""
    score: float = Field(ge=-100, le=100)
    """Lowest score that passes."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds when the candidate's score is at least the bar."""
        suite = self.suite or evidence.headline
        scores = evidence.candidate.suites.get(suite)
        if scores is None:
            return _outcome(self.kind, False, f"the candidate was not evaluated on {suite}")
        metric = self.metric or scores.primary
        found = scores.metrics.get(metric, math.nan)
        if math.isnan(found):
            return _outcome(self.kind, False, f"the candidate has no {metric} on {suite}")
        holds = found >= self.score
        reason = f"{metric} on {suite} is {found:.4f}, {'at least' if holds else 'below'} {self.score:.4f}"
        return _outcome(self.kind, holds, reason, {"score": found, "bar": self.score})


class MaximumSize(Section):
    """The model folder is no larger than a bound."""

    kind: Literal["maximum_size"] = "maximum_size"
    megabytes: float = Field(gt=0, le=1e9)
    """Largest size of the model folder, in units of 1,000,000 bytes."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds when the size was measured and is within the bound."""
        size = evidence.candidate.model_bytes / 1e6
        if not size:
            return _outcome(self.kind, False, "the size of the candidate was not measured")
        holds = size <= self.megabytes
        reason = f"the model takes {size:.1f} MB, {'within' if holds else 'over'} {self.megabytes:.1f} MB"
        return _outcome(self.kind, holds, reason, {"megabytes": size, "bound": self.megabytes})


class MaximumLatency(Section):
    """One text is encoded within a bound, on the machine and device that evaluate: not those that serve.

    Measured so that other work on the machine does not decide: the best of several blocks, and on a CPU no more than
    the processor time. The outcome states the spread.
    """

    kind: Literal["maximum_latency"] = "maximum_latency"
    milliseconds: float = Field(gt=0, le=1e7)
    """Longest median time to encode one text alone, in the best block."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds when the latency was measured and is within the bound."""
        found = evidence.candidate.latency
        if found is None:
            return _outcome(self.kind, False, "the latency of the candidate was not measured")
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
        return _outcome(self.kind, holds, reason, numbers)


class NoUnexplainedLeakage(Section):
    """No evaluation set shares rows with training, except where the recipe says why that is accepted.

    A row is shared when one of its sentences occurs in training, equal in the widest sense that was measured: nearly
    (data.leakage.near_duplicates), else after normalisation (data.leakage.normalise), else exactly.
    """

    kind: Literal["no_unexplained_leakage"] = "no_unexplained_leakage"
    explained: dict[str, str] = {}
    """By suite: why its overlap with training is accepted."""

    def outcome(self, evidence: Evidence) -> RuleOutcome:
        """Holds when every suite that shares a sentence with a training set has its explanation."""
        leaking = [o for o in evidence.overlaps if o.widest[1].rows]
        shared = {f"{o.train}/{o.evaluation}": float(o.widest[1].rows) for o in leaking}
        open_ones = [o for o in leaking if not self.explained.get(o.evaluation, "").strip()]
        if open_ones:
            found = ", ".join(
                f"{o.widest[1].rows} of {o.widest[1].of_rows} rows of {o.evaluation} in {o.train} ({o.widest[0]})"
                for o in open_ones
            )
            return _outcome(self.kind, False, f"shared with training and not explained: {found}", shared)
        if leaking:
            reasons = {o.evaluation: self.explained[o.evaluation] for o in leaking}
            return _outcome(self.kind, True, "; ".join(f"{name}: {why}" for name, why in reasons.items()), shared)
        return _outcome(self.kind, True, f"training and evaluation share no sentence{_senses(evidence)}")


Rule = Annotated[
    BeatsBase | BeatsChampion | NotWorse | MinimumScore | MaximumSize | MaximumLatency | NoUnexplainedLeakage,
    Field(discriminator="kind"),
]


def _better(
    rule: str, evidence: Evidence, other: EvaluationReport, called: str, suite: str, named: str | None, above: float
) -> RuleOutcome:
    """Whether the paired interval of candidate minus `other` lies wholly above `above`."""
    mine, theirs = evidence.candidate.suites.get(suite), other.suites.get(suite)
    if mine is None or theirs is None:
        whose = "the candidate" if mine is None else called
        return _outcome(rule, False, f"{whose} was not evaluated on {suite}")
    if mine.data_digest != theirs.data_digest:
        return _outcome(
            rule, False,
            f"the candidate and {called} were evaluated on different rows of {suite} (data digest "
            f"{mine.data_digest[:12]} and {theirs.data_digest[:12]}); evaluate {called} again on the same data",
        )  # fmt: skip
    metric = named or mine.primary
    found = evidence.difference(other, suite, metric)
    if found is None or found.interval is None:
        return _outcome(rule, False, f"there is no paired interval of {metric} on {suite} against {called}")
    low, high = found.interval.low, found.interval.high
    holds = low > above
    reason = (
        f"{metric} on {suite} against {called}: {found.difference:+.4f}, {found.interval.confidence:.0%} interval "
        f"{low:+.4f} to {high:+.4f}, which {'lies' if holds else 'does not lie'} above {above:+.4f}"
    )
    if suite == evidence.chose_checkpoint:
        reason += f" ({suite} also chose the checkpoint, which flatters the candidate)"
    numbers = {"difference": found.difference, "low": low, "high": high, "above": above, "rows": float(found.rows)}
    return _outcome(rule, holds, reason, numbers)


def _senses(evidence: Evidence) -> str:
    """In which sense sentences were compared, as far as every pair of sets was."""
    senses = {overlap.widest[0] for overlap in evidence.overlaps}
    return f" ({', '.join(sorted(senses))})" if senses else ""


def _outcome(rule: str, holds: bool, reason: str, numbers: dict[str, float] | None = None) -> RuleOutcome:
    from stsflow.tasks.records.release import RuleOutcome

    return RuleOutcome(rule=rule, holds=holds, reason=reason, numbers=numbers or {})
