"""Rows of a prepared set that the card shows, and the statistics of its scores."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.data import PreparedSet


class ScoreStatistics(Record):
    """Smallest, mean and largest score of a set of scored pairs, over every row."""

    minimum: float
    mean: float
    maximum: float


class SetSamples(Record):
    """The first rows of a set, in order, and its scores."""

    rows: tuple[tuple[str | int | float | tuple[float, ...], ...], ...]
    """By row, one value for each column of the prepared set."""
    score: ScoreStatistics | None = None


def read_samples(prepared: PreparedSet, count: int = 3) -> SetSamples:
    """The first `count` rows of the Arrow folder, and the statistics of its `score` column where it has one."""
    import pyarrow.compute as compute

    from stsflow.tasks.sets.rows import read_rows

    table = read_rows(prepared)
    rows = tuple(tuple(row[column] for column in prepared.columns) for row in table.slice(0, count).to_pylist())
    if (score := prepared.roles.score) is None or not table.num_rows:
        return SetSamples(rows=rows)
    scores = table[score]
    limits = compute.min_max(scores).as_py()
    return SetSamples(
        rows=rows,
        score=ScoreStatistics(minimum=limits["min"], mean=compute.mean(scores).as_py(), maximum=limits["max"]),
    )
