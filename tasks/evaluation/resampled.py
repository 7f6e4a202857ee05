"""What resampling says of the difference of two models on the same rows; worked out once for the same two scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stsflow.tasks.evaluation.scoring import read_parquet
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import Interval
from stsflow.tasks.statistics.bootstrap import (
    bootstrap_correlations,
    bootstrap_means,
    maximum_over,
    percentile_interval,
)
from stsflow.tasks.statistics.correlation import Floats
from stsflow.tasks.statistics.permutation import paired_mean_permutation_p, paired_permutation_p
from stsflow.tasks.statistics.similarity import SIMILARITIES


class Resampled(Record):
    """Second minus first under resampling of the rows."""

    interval: Interval | None = None
    """Paired percentile bootstrap; None where no resample had a defined value."""
    error: float = float("nan")
    """Standard error: the standard deviation over the resamples."""
    p_value: float | None = None
    """Paired permutation test; None for the maxima, which are not one similarity, and where it is not defined."""


def resampled(
    first: Path, second: Path, metric: str, config: EvaluationConfig, workspace: Workspace | None = None
) -> Resampled:
    """Interval, error and p-value of `metric` from two files of per-row scores of the same rows.

    With a workspace it is kept there, found again by the bytes of both files, settings and code.
    """

    def make(_: Path) -> Resampled:
        return _resample(read_parquet(first), read_parquet(second), metric, config)

    if workspace is None:
        return make(first)
    key = _fingerprint(first, second, metric, config)
    return find_or_make(workspace, "comparisons", key, Resampled, make, what="the comparison")


def _fingerprint(first: Path, second: Path, metric: str, config: EvaluationConfig) -> str:
    settings = config.model_dump(include={"resamples", "confidence", "seed"}, mode="json")
    files = (sha256_of_file(first), sha256_of_file(second))
    return fingerprint(*files, metric, settings, code_of(__name__), versions()["numpy"])


def _resample(first: Mapping[str, Any], second: Mapping[str, Any], metric: str, config: EvaluationConfig) -> Resampled:
    values = _differences(first, second, metric, config)
    ends = percentile_interval(values, config.confidence)
    p_value = _p_value(first, second, metric, config)
    if np.isnan(ends.low):
        return Resampled(p_value=p_value)
    return Resampled(
        interval=Interval(low=ends.low, high=ends.high, confidence=ends.confidence, resamples=ends.resamples),
        error=float(np.nanstd(values, ddof=1)) if np.isfinite(values).sum() > 1 else float("nan"),
        p_value=p_value,
    )


def _differences(first: Mapping[str, Any], second: Mapping[str, Any], metric: str, config: EvaluationConfig) -> Floats:
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
