"""Recipes compared by all of their seeds on the same rows: the claim is of the recipe, not of one set of weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from stsflow.tasks.evaluation.compare import why_not_comparable
from stsflow.tasks.evaluation.scoring import read_parquet
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import EvaluationReport, Interval, RecipeDifference, SuiteScores
from stsflow.tasks.statistics.seeds import Spread, mean_and_deviation, row_variance, seeds_needed
from stsflow.tasks.suites import Suite

Reports = Sequence[EvaluationReport]
"""Of one recipe's models, one a seed; of a single model where there is one."""


class RowVariance(Record):
    """What the rows contribute to the variance of a difference of means over seeds."""

    value: float


def compare_over_seeds(
    first: Reports, second: Reports, names: tuple[str, str], config: EvaluationConfig, *,
    metrics: Collection[str] = (), workspace: Workspace | None = None,
) -> tuple[RecipeDifference, ...]:  # fmt: skip
    """Second minus first on every suite that all reports have: its primary metric, and those of `metrics` it knows.

    `names` are what the two are called. With a workspace, what was worked out before from the same scores is found
    there. Raises EvaluationFailed when the rows of a suite are not the same.
    """
    everyone = [*first, *second]
    found = []
    for suite in everyone[0].suites:
        if any(suite not in report.suites for report in everyone):
            continue
        scores = [report.suites[suite] for report in everyone]
        for other in scores[1:]:
            if reason := why_not_comparable(scores[0], other):
                raise EvaluationFailed(f"{names[0]} and {names[1]} cannot be compared: {reason}")
        groups = scores[: len(first)], scores[len(first) :]
        wanted = dict.fromkeys([scores[0].primary, *metrics])
        shared = [metric for metric in wanted if all(metric in one.metrics for one in scores)]
        found += [_difference(groups, names, metric, config, workspace) for metric in shared]
    return tuple(found)


def _difference(
    groups: tuple[list[SuiteScores], list[SuiteScores]], names: tuple[str, str], metric: str,
    config: EvaluationConfig, workspace: Workspace | None,
) -> RecipeDifference:  # fmt: skip
    scores = [[one.metrics[metric] for one in group] for group in groups]
    (low, low_deviation), (high, high_deviation) = (mean_and_deviation(values) for values in scores)
    spread = _spread(groups, metric, config, workspace)
    interval, row_error, needed = None, None, None
    if spread is not None:
        reach, difference = spread.half_width(config.confidence), spread.difference
        interval = Interval(
            low=difference - reach, high=difference + reach, confidence=config.confidence, resamples=config.resamples
        )
        row_error = spread.row_variance**0.5
        needed = seeds_needed(spread, difference, confidence=config.confidence) if max(spread.seeds) > 1 else None
    return RecipeDifference(
        suite=groups[0][0].suite, metric=metric, first=names[0], second=names[1], rows=groups[0][0].rows,
        seeds=(len(scores[0]), len(scores[1])), means=(low, high),
        deviations=(
            low_deviation if len(scores[0]) > 1 else None, high_deviation if len(scores[1]) > 1 else None
        ),
        difference=high - low, interval=interval, row_error=row_error, seeds_needed=needed,
    )  # fmt: skip


def _spread(
    groups: tuple[list[SuiteScores], list[SuiteScores]], metric: str, config: EvaluationConfig,
    workspace: Workspace | None,
) -> Spread | None:  # fmt: skip
    """How far the difference of the means is known; None where it does not follow from values of single rows."""
    kind = groups[0][0].kind
    paired = Suite.of(kind).metric(metric).paired
    files = [[one.pairs for one in group if one.pairs is not None] for group in groups]
    if not config.resamples or paired is None or any(len(a) < len(b) for a, b in zip(files, groups, strict=True)):
        return None

    def make(_: Path) -> RowVariance:
        rows = [read_parquet(path) for path in (*files[0], *files[1])]
        values = paired.resampled(rows, config.resamples, config.seed)
        return RowVariance(value=row_variance(values[: len(groups[0])], values[len(groups[0]) :]))

    if workspace is None:
        found = make(Path())
    else:
        key = _fingerprint(files, kind, metric, config)
        found = find_or_make(workspace, "comparisons", key, RowVariance, make, what="the comparison over seeds")
    if math.isnan(found.value):
        return None
    first, second = ([one.metrics[metric] for one in group] for group in groups)
    return Spread.of(first, second, groups[0][0].rows, found.value)


def _fingerprint(files: Sequence[Sequence[Path]], kind: str, metric: str, config: EvaluationConfig) -> str:
    settings = config.model_dump(include={"resamples", "confidence", "seed"}, mode="json")
    digests = [[sha256_of_file(path) for path in group] for group in files]
    return fingerprint(digests, kind, metric, settings, code_of(__name__), versions()["numpy"])
