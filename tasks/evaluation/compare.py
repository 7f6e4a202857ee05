"""Paired comparison of two models on the same rows, from the per-row scores that their evaluations left."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite

from stsflow.tasks.evaluation.resampled import Resampled, resampled
from stsflow.tasks.evaluation.slices_compared import compare_slices
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SuiteScores
from stsflow.tasks.statistics.power import rows_needed


def compare(
    first: EvaluationReport, second: EvaluationReport, config: EvaluationConfig, *, metrics: Collection[str] = (),
    workspace: Workspace | None = None,
) -> tuple[Difference, ...]:  # fmt: skip
    """Second minus first on every suite that both have: the suite's primary metric, and those of `metrics` it knows.

    Each difference carries the paired bootstrap interval, the permutation p-value (`None` for the maxima, which are
    not one similarity) and the rows at which a difference of its size would show. Without resamples in `config` there
    are only differences. With a workspace, what was worked out before from the same scores is found there. Raises
    EvaluationFailed when the rows of a suite are not the same.
    """
    found: list[Difference] = []
    for name in first.suites:
        if name not in second.suites:
            continue
        a, b = first.suites[name], second.suites[name]
        if reason := why_not_comparable(a, b):
            raise EvaluationFailed(f"{first.model} and {second.model} cannot be compared: {reason}")
        wanted = dict.fromkeys([a.primary, *metrics])
        shared = [metric for metric in wanted if metric in a.metrics and metric in b.metrics]
        found += [_difference(first.model, a, second.model, b, metric, config, workspace) for metric in shared]
    return tuple(found)


def why_not_comparable(first: SuiteScores, second: SuiteScores) -> str:
    """Why two scores on a suite are not of the same rows, in words; empty when they are."""
    if first.kind != second.kind:
        return f"{first.suite} is a suite of kind {first.kind} for one and {second.kind} for the other"
    if first.data_digest != second.data_digest:
        return (
            f"the rows of {first.suite} differ (data digest {first.data_digest[:12]} and {second.data_digest[:12]}); "
            "evaluate both on the same data"
        )
    if first.rows != second.rows:
        return f"{first.suite} has {first.rows} rows for one and {second.rows} for the other"
    return ""


def _difference(
    first_name: str, a: SuiteScores, second_name: str, b: SuiteScores, metric: str, config: EvaluationConfig,
    workspace: Workspace | None,
) -> Difference:  # fmt: skip
    found = Resampled()
    if config.resamples and a.pairs is not None and b.pairs is not None:
        found = resampled(a.pairs, b.pairs, a.kind, metric, config, workspace)
    difference = b.metrics[metric] - a.metrics[metric]
    return Difference(
        suite=a.suite,
        metric=metric,
        first=first_name,
        second=second_name,
        rows=a.rows,
        difference=difference,
        interval=found.interval,
        error=found.error if isfinite(found.error) else None,
        skewness=found.skewness,
        p_value=found.p_value,
        rows_needed=rows_needed(difference, found.error, a.rows, confidence=config.confidence),
        slices=compare_slices(a, b, metric, config, workspace) if metric == a.primary else None,
    )
