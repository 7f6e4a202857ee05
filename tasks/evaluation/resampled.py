"""What resampling says of the difference of two models on the same rows; worked out once for the same two scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from stsflow.tasks.statistics.bootstrap import percentile_interval, skewness
from stsflow.tasks.suites import Suite
from stsflow.tasks.suites.paired import Paired


class Resampled(Record):
    """Second minus first under resampling of the rows."""

    interval: Interval | None = None
    """Paired percentile bootstrap; None where no resample had a defined value."""
    error: float = float("nan")
    """Standard error: the standard deviation over the resamples."""
    skewness: float = 0.0
    """Of the resamples, as of the estimate's own distribution."""
    p_value: float | None = None
    """Paired permutation test; None for the maxima, which are not one similarity, and where it is not defined."""


def resampled(
    first: Path, second: Path, kind: str, metric: str, config: EvaluationConfig, workspace: Workspace | None = None
) -> Resampled:
    """Interval, error and p-value of a metric from two files of per-row scores of the same rows.

    `kind` is the suite's; nothing is found where its metric does not follow from single rows. With a workspace it is
    kept there, found again by the bytes of both files, settings and code.
    """
    paired = Suite.of(kind).metric(metric).paired
    if paired is None:
        return Resampled()

    def make(_: Path) -> Resampled:
        return _resample(read_parquet(first), read_parquet(second), paired, config)

    if workspace is None:
        return make(first)
    key = _fingerprint(first, second, kind, metric, config)
    return find_or_make(workspace, "comparisons", key, Resampled, make, what="the comparison")


def _fingerprint(first: Path, second: Path, kind: str, metric: str, config: EvaluationConfig) -> str:
    settings = config.model_dump(include={"resamples", "confidence", "seed"}, mode="json")
    files = (sha256_of_file(first), sha256_of_file(second))
    return fingerprint(*files, kind, metric, settings, code_of(__name__), versions()["numpy"])


def _resample(
    first: Mapping[str, Any], second: Mapping[str, Any], paired: Paired, config: EvaluationConfig
) -> Resampled:
    before, after = paired.resampled((first, second), config.resamples, config.seed)
    values = after - before
    ends = percentile_interval(values, config.confidence)
    p_value = paired.p_value(first, second, config.resamples, config.seed)
    if np.isnan(ends.low):
        return Resampled(p_value=p_value)
    return Resampled(
        interval=Interval(low=ends.low, high=ends.high, confidence=ends.confidence, resamples=ends.resamples),
        error=float(np.nanstd(values, ddof=1)) if np.isfinite(values).sum() > 1 else float("nan"),
        skewness=skewness(values),
        p_value=p_value,
    )
