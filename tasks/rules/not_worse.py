"""Not worse than the champion, or the base model, by more than a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.rules.family import Rule

if TYPE_CHECKING:
    from stsflow.tasks.records.release import RuleOutcome
    from stsflow.tasks.rules.candidacy import Candidacy


class NotWorse(Rule):
    """On no listed suite is the candidate worse than another model by more than the margin (non-inferiority)."""

    kind: Literal["not_worse"] = "not_worse"
    compares: ClassVar[bool] = True
    suites: tuple[str, ...] = Field(min_length=1)
    """Suites to compare on."""
    metric: str | None = None
    """Metric to compare; default: the headline metric of the suite, such as `spearman_cosine` or `ndcg_at_10`."""
    margin: float = Field(default=0.01, gt=0, le=100)
    """Largest loss that is accepted: the lower end of the interval must lie above minus this."""
    against: Literal["champion", "base"] = "champion"
    """The model that it must not be worse than. It holds where there is no champion yet."""

    @property
    def suites_named(self) -> tuple[str, ...]:
        """All of its suites."""
        return self.suites

    @property
    def metric_named(self) -> str | None:
        """Its own, if it names one."""
        return self.metric

    def outcome(self, candidacy: Candidacy) -> RuleOutcome:
        """Holds without a champion to compare with, or when on each suite the interval lies above minus the margin."""
        if self.against == "base":
            other, called = candidacy.base, "the base model"
        else:
            other, called = candidacy.champion, "the champion"
        if other is None:
            known = self.against == "base"
            return self.says(not known, "the base model was not evaluated" if known else "there is no champion yet")
        parts = [self.better(candidacy, other, called, suite, self.metric, -self.margin) for suite in self.suites]
        numbers = {
            f"{suite}/{name}": value
            for suite, part in zip(self.suites, parts, strict=True)
            for name, value in part.numbers.items()
        }
        failed = [part.reason for part in parts if not part.holds]
        return self.says(not failed, "; ".join(failed or [part.reason for part in parts]), numbers)
