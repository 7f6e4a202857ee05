"""Two models on every slice of a suite's rows: intervals for all slices together, and the rows that moved most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stsflow.tasks.evaluation.scoring import read_parquet
from stsflow.tasks.evaluation.slices import slice_rows
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import (
    EvaluationReport,
    MovedRow,
    MovedRows,
    SliceDifference,
    SliceDifferences,
    SuiteScores,
)
from stsflow.tasks.statistics.many import compare_parts
from stsflow.tasks.suites import Suite
from stsflow.tasks.suites.paired import Paired, Rows

FEWEST_ROWS = 20
"""Of a slice that is compared: fewer rows show nothing but losses that nobody would miss."""
SHOWN = 20
"""Rows that moved most, each way."""


class _Found(Record):
    slices: SliceDifferences | None


def compare_slices(
    first: SuiteScores, second: SuiteScores, metric: str, config: EvaluationConfig, workspace: Workspace | None = None
) -> SliceDifferences | None:
    """Second minus first on every slice of the same rows, with intervals for all of them together.

    None without resamples, without scores of single rows, and where the metric does not follow from those.
    """
    told, paired = Suite.of(first.kind), Suite.of(first.kind).metric(metric).paired
    if not (config.resamples and paired and told.texts_of_rows and first.pairs and second.pairs):
        return None
    before, after = first.pairs, second.pairs

    def make(_: Path) -> _Found:
        rows = read_parquet(before), read_parquet(after)
        return _Found(slices=_compare(*rows, told.texts_of_rows, first.sliced_by, paired, config))

    if workspace is None:
        return make(before).slices
    settings = config.model_dump(include={"resamples", "confidence", "seed"}, mode="json")
    files = sha256_of_file(before), sha256_of_file(after)
    key = fingerprint(*files, first.kind, metric, first.sliced_by, settings, code_of(__name__), versions()["numpy"])
    return find_or_make(workspace, "comparisons", key, _Found, make, what="the comparison of slices").slices


def _compare(
    first: Rows, second: Rows, texts: tuple[str, ...], sliced_by: tuple[str, ...], paired: Paired,
    config: EvaluationConfig,
) -> SliceDifferences:  # fmt: skip
    gold = first.get("gold")
    slices = slice_rows([first[name] for name in texts], gold, {name: first[name] for name in sliced_by})
    whole = len(first[texts[0]])
    chosen = {name: rows for name, rows in slices.items() if FEWEST_ROWS <= len(rows) < whole}
    parts = {}
    for name, rows in chosen.items():
        differences = paired.under_swaps(_only(first, rows), _only(second, rows))
        if differences is not None:
            parts[name] = (rows, differences)
    found = compare_parts(parts, whole, config.resamples, config.confidence, config.seed)
    return SliceDifferences(
        items=tuple(
            SliceDifference(
                name=name, rows=len(chosen[name]), difference=one.difference, low=one.difference - one.reach,
                high=one.difference + one.reach, p_value=one.p_value,
            )
            for name, one in found.items()
        ),
        confidence=config.confidence,
        too_small=sum(len(rows) < FEWEST_ROWS for rows in slices.values()),
        fewest_rows=FEWEST_ROWS,
    )  # fmt: skip


def _only(columns: Rows, rows: Any) -> dict[str, Any]:
    """The numbers of some rows; texts are left out."""
    return {name: values[rows] for name, values in columns.items() if isinstance(values, np.ndarray)}


def moved_rows(first: EvaluationReport, second: EvaluationReport) -> dict[str, MovedRows]:
    """By suite, the rows that moved most from the first model to the second, each way; suites that say nothing of
    single rows are left out. How far a row is right is the suite's own (`Paired.quality`).
    """
    found = {}
    for name, scores in second.suites.items():
        before = first.suites.get(name)
        told, paired = Suite.of(scores.kind), Suite.of(scores.kind).metric(scores.primary).paired
        if before is None or not (paired and told.texts_of_rows and before.pairs and scores.pairs):
            continue
        rows = read_parquet(before.pairs), read_parquet(scores.pairs)
        found[name] = _moved(rows[0], rows[1], told.texts_of_rows, paired)
    return found


def _moved(first: Mapping[str, Any], second: Mapping[str, Any], texts: tuple[str, ...], paired: Paired) -> MovedRows:
    before, after = paired.quality(first), paired.quality(second)
    change = after - before
    order = np.argsort(change, kind="stable")

    def row(number: int) -> MovedRow:
        return MovedRow(
            row=number, texts=tuple(first[name][number] for name in texts), before=float(before[number]),
            after=float(after[number]), gold=float(first["gold"][number]) if "gold" in first else None,
        )  # fmt: skip

    worse = [int(number) for number in order[:SHOWN] if change[number] < 0]
    better = [int(number) for number in order[::-1][:SHOWN] if change[number] > 0]
    return MovedRows(columns=texts, better=tuple(map(row, better)), worse=tuple(map(row, worse)))
