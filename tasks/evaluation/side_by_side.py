"""Two models side by side: what every table of base against tuned is made of, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stsflow.tasks.records.evaluation import Difference, EvaluationReport, Interval, SuiteScores


@dataclass(frozen=True)
class Beside:
    """One metric of one suite."""

    suite: SuiteScores
    """Of the second model."""
    metric: str
    before: float | None
    """Of the first model; None where it was not measured."""
    after: float
    paired: Difference | None
    """Second minus first on the same rows, where it was worked out."""

    @property
    def is_primary(self) -> bool:
        """Whether the suite is judged by it."""
        return self.metric == self.suite.primary

    @property
    def change(self) -> float | None:
        """Second minus first."""
        return None if self.before is None else self.after - self.before

    @property
    def reference(self) -> float | None:
        """What the suite's reference scores, such as BM25; None where it has none."""
        return self.suite.reference.metrics.get(self.metric) if self.suite.reference else None

    @property
    def interval(self) -> Interval | None:
        """Of the change, by paired resamples."""
        return None if self.paired is None else self.paired.interval


def side_by_side(
    before: EvaluationReport | None, after: EvaluationReport, differences: Iterable[Difference] = ()
) -> tuple[Beside, ...]:
    """Every metric of `after`, suite by suite, beside that of `before`; `differences` of other models do not count."""
    models = (before.model if before else None, after.model)
    paired = {(one.suite, one.metric): one for one in differences if (one.first, one.second) == models}
    old = before.suites if before else {}
    return tuple(
        Beside(
            suite=scores,
            metric=metric,
            before=old[name].metrics.get(metric) if name in old else None,
            after=value,
            paired=paired.get((name, metric)),
        )
        for name, scores in after.suites.items()
        for metric, value in scores.metrics.items()
    )
