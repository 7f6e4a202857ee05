"""Bootstrap of correlations: percentile intervals for one model, and for the difference of two on the same rows.

A resample of n rows drawn with replacement is the same thing as a *count* for each of the n rows. With counts, sums
over a resample are one matrix product for all resamples together, and the exact mid-ranks within a resample follow from
cumulative counts along the order of the full sample: nothing is sorted again. (Keeping the full sample's ranks would be
quicker still, and wrong: it is the bootstrap of another statistic.)

Source of the method: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stsflow.tasks.statistics.correlation import Floats, is_constant, midranks, standardised

# Cells (resamples x rows) that are worked on at a time; every temporary matrix has 8 bytes a cell: 4 MiB, which stays
# in the cache of a processor and bounds the memory whatever the number of resamples.
CELLS_AT_A_TIME = 1 << 19

# A sum of squares below this share of its largest possible value is rounding error of a constant resample.
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class PercentileInterval:
    """A two-sided percentile interval; both ends are `nan` when no resample had a defined value."""

    low: float
    high: float
    confidence: float
    resamples: int


def percentile_interval(values: Floats, confidence: float) -> PercentileInterval:
    """The central `confidence` of bootstrap `values`. Undefined (`nan`) resamples are passed over."""
    defined = values[~np.isnan(values)]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail]) if len(defined) else (np.nan, np.nan)
    return PercentileInterval(float(low), float(high), confidence, len(values))


def skewness(values: Floats) -> float:
    """Third central moment of the defined `values` over the cube of their standard deviation; 0 where all are equal."""
    centred = values[~np.isnan(values)]
    centred = centred - centred.mean() if len(centred) else centred
    scale = float(np.sqrt(np.mean(centred**2))) if len(centred) else 0.0
    return float(np.mean((centred / scale) ** 3)) if scale > 0 else 0.0


def bootstrap_correlations(
    gold: ArrayLike, predictions: Mapping[str, ArrayLike], resamples: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Correlations of `gold` with every column of `predictions` in each of `resamples` resamples of the rows.

    Returns `{"pearson": {column: values}, "spearman": {column: values}}`, values of shape (resamples,). All columns
    see the same resamples, so values of two columns may be subtracted resample by resample (the paired bootstrap). The
    resamples depend on `seed` and the number of rows alone. A resample in which a column is constant gives `nan`.
    """
    gold = np.asarray(gold, dtype=np.float64)
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in predictions.items()}
    values = {kind: {name: np.full(resamples, np.nan) for name in columns} for kind in ("pearson", "spearman")}
    if len(gold) < 2 or is_constant(gold):
        return values
    usable = {name: column for name, column in columns.items() if not (is_constant(column) or np.isnan(column).any())}
    pearsons, spearmans = _PearsonOfCounts(gold, usable), _SpearmanOfCounts(gold, usable)
    start = 0
    for counts in resample_counts(len(gold), resamples, seed):
        stop = start + len(counts)
        for name, block in pearsons(counts).items():
            values["pearson"][name][start:stop] = block
        for name, block in spearmans(counts).items():
            values["spearman"][name][start:stop] = block
        start = stop
    return values


def resample_counts(rows: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of shape (some resamples, rows): how often each row was drawn. Every line adds up to `rows`."""
    generator = np.random.default_rng(seed)
    block = max(1, CELLS_AT_A_TIME // rows)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(0, rows, size=(size, rows), dtype=np.int64)
        drawn += (np.arange(size, dtype=np.int64) * rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)


class _PearsonOfCounts:
    """Pearson of gold with several columns in every resample of a block, by weighted sums."""

    def __init__(self, gold: Floats, columns: Mapping[str, Floats]) -> None:
        # The correlation does not change, and products of standardised columns lose no digits to a large mean.
        self.names = list(columns)
        scaled = [standardised(gold), *(standardised(columns[name]) for name in self.names)]
        sums = [*scaled, *(column * column for column in scaled), *(scaled[0] * column for column in scaled[1:])]
        self.summands = np.stack(sums, axis=1)

    def __call__(self, counts: NDArray[np.int64]) -> dict[str, Floats]:
        rows = counts.shape[1]
        width = 1 + len(self.names)
        sums = counts.astype(np.float64) @ self.summands
        means, squares, products = (
            sums[:, :width] / rows,
            sums[:, width : 2 * width] / rows,
            sums[:, 2 * width :] / rows,
        )
        variances = squares - means**2
        return {
            name: quotient(
                products[:, index] - means[:, 0] * means[:, index + 1],
                variances[:, 0], variances[:, index + 1], squares[:, 0], squares[:, index + 1],
            )
            for index, name in enumerate(self.names)
        }  # fmt: skip


class _SpearmanOfCounts:
    """Spearman of gold with several columns in every resample of a block, by cumulative counts."""

    def __init__(self, gold: Floats, columns: Mapping[str, Floats]) -> None:
        self.gold = RankedColumn(gold)
        self.of: dict[str, bytes] = {}
        self.ranked: dict[bytes, RankedColumn] = {}
        for name, column in columns.items():
            # Columns that order the rows alike (cosine and euclidean of unit vectors) have the same correlation.
            self.of[name] = midranks(column).tobytes()
            self.ranked.setdefault(self.of[name], RankedColumn(column))

    def __call__(self, counts: NDArray[np.int64]) -> dict[str, Floats]:
        rows = counts.shape[1]
        gold = self.gold.centred_ranks(counts)
        weighted = counts * gold
        gold_squares = np.einsum("ij,ij->i", weighted, gold)
        largest = np.full(len(counts), rows * (rows * rows - 1.0) / 12.0)
        found: dict[bytes, Floats] = {}
        for key, column in self.ranked.items():
            ranks = column.centred_ranks(counts)
            squares = np.einsum("ij,ij,ij->i", counts, ranks, ranks)
            products = np.einsum("ij,ij->i", weighted, ranks)
            found[key] = quotient(products, gold_squares, squares, largest, largest)
        return {name: found[key] for name, key in self.of.items()}


class RankedColumn:
    """A column whose mid-ranks can be had for any resample, given as counts of its rows."""

    def __init__(self, column: Floats) -> None:
        self.order = np.argsort(column, kind="stable")
        ordered = column[self.order]
        first_of_tie = np.r_[True, ordered[1:] != ordered[:-1]]
        self.tie_starts = np.flatnonzero(first_of_tie)
        self.tie_of_row = np.empty(len(column), dtype=np.intp)
        self.tie_of_row[self.order] = np.cumsum(first_of_tie) - 1

    def centred_ranks(self, counts: NDArray[np.int64]) -> Floats:
        """Mid-ranks within each resample less their mean, shape of `counts`; a row not drawn gets a rank too.

        Equal values that were drawn c times, after b smaller draws, have the mid-rank b + (c + 1) / 2.
        """
        drawn = counts[:, self.order]
        if len(self.tie_starts) < drawn.shape[1]:
            drawn = np.add.reduceat(drawn, self.tie_starts, axis=1)
        total = counts.sum(axis=1, keepdims=True)
        ranks = np.cumsum(drawn, axis=1) - (drawn - 1) * 0.5 - (total + 1) * 0.5
        return np.asarray(np.take(ranks, self.tie_of_row, axis=1), dtype=np.float64)


def quotient(
    covariance: Floats, first_variance: Floats, second_variance: Floats, first_scale: Floats, second_scale: Floats
) -> Floats:
    """Covariance over the root of the variances; `nan` where a variance is nothing beside its scale."""
    defined = (first_variance > NEGLIGIBLE * first_scale) & (second_variance > NEGLIGIBLE * second_scale)
    root = np.sqrt(np.where(defined, first_variance * second_variance, 1.0))
    return np.where(defined, np.clip(covariance / root, -1.0, 1.0), np.nan)


def maximum_over(values: Sequence[Floats]) -> Floats:
    """Resample by resample, the highest of several statistics that is a number; `nan` where none is."""
    stacked = np.stack(values)
    return np.where(np.isnan(stacked).all(axis=0), np.nan, np.fmax.reduce(stacked, axis=0))


def bootstrap_means(columns: Mapping[str, ArrayLike], resamples: int, seed: int) -> dict[str, Floats]:
    """Mean of every column in each resample of the rows, shape (resamples,), for metrics that are means over rows.

    All columns see the same resamples, as in `bootstrap_correlations`.
    """
    names = list(columns)
    stacked = np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=1)
    rows = len(stacked)
    if rows == 0:
        return {name: np.full(resamples, np.nan) for name in names}
    means = np.concatenate([counts @ stacked / rows for counts in resample_counts(rows, resamples, seed)])
    return {name: means[:, index] for index, name in enumerate(names)}
