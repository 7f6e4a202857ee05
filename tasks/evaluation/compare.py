"""Paired comparison of two models on the same rows, from the per-row scores that their evaluations left."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np

from tasks.config import EvaluationConfig
from tasks.errors import EvaluationFailed
from tasks.evaluation.scoring import read_parquet
from tasks.records import Difference, EvaluationReport, Interval, SuiteScores
from tasks.statistics.bootstrap import bootstrap_correlations, bootstrap_means, maximum_over, percentile_interval
from tasks.statistics.correlation import Floats
from tasks.statistics.permutation import paired_mean_permutation_p, paired_permutation_p
from tasks.statistics.power import rows_needed
from tasks.statistics.similarity import SIMILARITIES


def compare(
    first: EvaluationReport, second: EvaluationReport, config: EvaluationConfig, *, metrics: Collection[str] = ()
) -> tuple[Difference, ...]:
    """Second minus first on every suite that both have: the suite's primary metric, and those of `metrics` it knows.

    Each difference carries the paired bootstrap interval, the permutation p-value (`None` for the maxima, which are
    not one similarity) and the rows at which a difference of its size would show. Without resamples in `config` there
    are only differences. Raises EvaluationFailed when the rows of a suite are not the same.
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
        found += [_difference(first.model, a, second.model, b, metric, config) for metric in shared]
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
    first_name: str, a: SuiteScores, second_name: str, b: SuiteScores, metric: str, config: EvaluationConfig
) -> Difference:
    interval, error, p_value = None, float("nan"), None
    if config.resamples and a.pairs is not None and b.pairs is not None:
        first, second = read_parquet(a.pairs), read_parquet(b.pairs)
        values = _resampled_differences(first, second, metric, config)
        ends = percentile_interval(values, config.confidence)
        if not np.isnan(ends.low):
            interval = Interval(low=ends.low, high=ends.high, confidence=ends.confidence, resamples=ends.resamples)
            error = float(np.nanstd(values, ddof=1)) if np.isfinite(values).sum() > 1 else float("nan")
        p_value = _p_value(first, second, metric, config)
    difference = b.metrics[metric] - a.metrics[metric]
    return Difference(
        suite=a.suite,
        metric=metric,
        first=first_name,
        second=second_name,
        rows=a.rows,
        difference=difference,
        interval=interval,
        p_value=p_value,
        rows_needed=rows_needed(difference, error, a.rows, confidence=config.confidence),
    )


def _resampled_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], metric: str, config: EvaluationConfig
) -> Floats:
    """Second minus first in each resample of the rows."""
    if not _is_correlation(metric):
        means = bootstrap_means({"first": first[metric], "second": second[metric]}, config.resamples, config.seed)
        return means["second"] - means["first"]
    kind, similarity = _split(metric)
    names = SIMILARITIES if similarity == "max" else (similarity,)
    columns = {f"{model}_{name}": rows[name] for model, rows in (("1", first), ("2", second)) for name in names}
    values = bootstrap_correlations(first["gold"], columns, config.resamples, config.seed)[kind]
    best = {model: maximum_over([values[f"{model}_{name}"] for name in names]) for model in ("1", "2")}
    return best["2"] - best["1"]


def _p_value(
    first: Mapping[str, Any], second: Mapping[str, Any], metric: str, config: EvaluationConfig
) -> float | None:
    if not _is_correlation(metric):
        return paired_mean_permutation_p(first[metric], second[metric], config.resamples, config.seed)
    kind, similarity = _split(metric)
    if similarity == "max":
        return None
    p_value = paired_permutation_p(
        first["gold"], first[similarity], second[similarity], kind, config.resamples, config.seed
    )
    return None if np.isnan(p_value) else p_value


def _is_correlation(metric: str) -> bool:
    return metric.startswith(("pearson_", "spearman_"))


def _split(metric: str) -> tuple[Literal["pearson", "spearman"], str]:
    kind, _, similarity = metric.partition("_")
    return ("pearson" if kind == "pearson" else "spearman"), similarity
