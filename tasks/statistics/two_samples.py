"""Whether two samples come from the same place: permutation tests, and what of several such tests holds together.

Every test here asks the same question of another number: had each row fallen into the one sample or the other by
chance, how often would that number be as large as it is? So each holds its level whatever the rows look like, ties
included, as long as rows are drawn independently. Distance of embeddings: Gretton and others, A Kernel Two-Sample Test
(JMLR 13, 2012), lemma 6 for the unbiased estimator. Several at once: Holm, A Simple Sequentially Rejective Multiple
Test Procedure (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stsflow.tasks.statistics.bootstrap import CELLS_AT_A_TIME, NEGLIGIBLE
from stsflow.tasks.statistics.correlation import Floats

Statistic = Callable[[Floats], Floats]
"""The number of each arrangement, of (arrangements, rows) with 1 for a row of the first sample and 0 for the second."""


@dataclass(frozen=True)
class TwoSamples:
    """What a test found."""

    statistic: float
    p_value: float
    """Never 0: the observed arrangement counts in."""


def permutation_test(statistic: Statistic, first: int, second: int, permutations: int, seed: int) -> TwoSamples:
    """The test of `statistic` on `first` rows of the one sample and `second` of the other, in this order.

    The p-value is (1 + as large) / (1 + permutations).
    """
    observed_rows = np.concatenate([np.ones(first), np.zeros(second)])[None]
    observed = float(statistic(observed_rows)[0])
    generator = np.random.default_rng(seed)
    block = max(1, CELLS_AT_A_TIME // (first + second))
    as_large = 0
    for start in range(0, permutations, block):
        rows = np.repeat(observed_rows, min(block, permutations - start), axis=0)
        values = statistic(generator.permuted(rows, axis=1))
        # Arrangements that are equal but for rounding count as equally large.
        as_large += int((values >= observed - NEGLIGIBLE * max(1.0, abs(observed))).sum())
    return TwoSamples(observed, (1 + as_large) / (1 + permutations))


def mmd_test(first: ArrayLike, second: ArrayLike, permutations: int, seed: int) -> TwoSamples:
    """Squared maximum mean discrepancy of two samples of vectors, (rows, dimension) each; unbiased, it may be negative.

    The kernel is exp(-d^2 / m) with m the median squared distance of different rows of both together (the median
    heuristic), which no permutation changes. Memory for the square of all rows in float32.
    """
    a, b = (np.asarray(sample, dtype=np.float64) for sample in (first, second))
    kernel = _kernel(np.concatenate([a, b]))
    sums, total = kernel.sum(axis=1, dtype=np.float64), float(kernel.sum(dtype=np.float64))
    n, m = len(a), len(b)

    def distance(rows: Floats) -> Floats:
        within = np.einsum("ij,ij->i", rows.astype(np.float32) @ kernel, rows)
        touching = rows @ sums
        other = total - 2 * touching + within
        value: Floats = within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * (touching - within) / (n * m)
        return value

    return permutation_test(distance, n, m, permutations, seed)


def _kernel(rows: Floats) -> NDArray[np.float32]:
    """(rows, rows) in float32 with zeros on the diagonal: a row is not compared with itself."""
    squares = np.einsum("ij,ij->i", rows, rows)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0.0)
    upper = distances[np.triu_indices(len(rows), 1)]
    median = float(np.median(upper)) or float(upper.mean()) or 1.0
    kernel: NDArray[np.float32] = np.exp(-distances / median).astype(np.float32)
    np.fill_diagonal(kernel, 0.0)
    return kernel


def ks_test(first: ArrayLike, second: ArrayLike, permutations: int, seed: int) -> TwoSamples:
    """Largest distance of the two distribution functions (Kolmogorov and Smirnov); ties are no difficulty."""
    values = np.concatenate([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    n, m = len(np.asarray(first)), len(np.asarray(second))
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # the last of equal values

    def distance(rows: Floats) -> Floats:
        ours = np.cumsum(rows[:, order], axis=1)[:, ends]
        value: Floats = np.abs(ours / n - (ends + 1 - ours) / m).max(axis=1)
        return value

    return permutation_test(distance, n, m, permutations, seed)


def shares_test(first: ArrayLike, second: ArrayLike, permutations: int, seed: int) -> TwoSamples:
    """Total variation distance of mean shares: (rows, kinds) of each sample, a row's shares adding up to 1 or to 0."""
    a, b = (np.asarray(sample, dtype=np.float64) for sample in (first, second))
    both, total = np.concatenate([a, b]), a.sum(axis=0) + b.sum(axis=0)

    def distance(rows: Floats) -> Floats:
        ours = rows @ both
        value: Floats = 0.5 * np.abs(ours / len(a) - (total - ours) / len(b)).sum(axis=1)
        return value

    return permutation_test(distance, len(a), len(b), permutations, seed)


def ratio_test(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], permutations: int, seed: int
) -> TwoSamples:
    """Distance of two ratios of sums, each of the sums over a sample's rows of its first column and of its second."""
    (above_a, below_a), (above_b, below_b) = first, second
    above = np.concatenate([np.asarray(above_a, np.float64), np.asarray(above_b, np.float64)])
    below = np.concatenate([np.asarray(below_a, np.float64), np.asarray(below_b, np.float64)])

    def distance(rows: Floats) -> Floats:
        upper, lower = rows @ above, rows @ below
        ours = upper / np.maximum(lower, 1.0)
        value: Floats = np.abs(ours - (above.sum() - upper) / np.maximum(below.sum() - lower, 1.0))
        return value

    return permutation_test(distance, len(np.asarray(above_a)), len(np.asarray(above_b)), permutations, seed)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: those at or below a level are the ones that hold together at that level, however many there
    are and however they depend on each other."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
