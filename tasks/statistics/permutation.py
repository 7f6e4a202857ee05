"""Permutation test of two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stsflow.tasks.statistics.bootstrap import CELLS_AT_A_TIME, NEGLIGIBLE, RankedColumn
from stsflow.tasks.statistics.correlation import Floats, is_constant, midranks, standardised

Swapped = NDArray[np.bool_]


def paired_permutation_p(
    gold: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    correlation: Literal["pearson", "spearman"],
    permutations: int,
    seed: int,
) -> float:
    """Two-sided p-value of "both models correlate equally with `gold`", swapping the models within rows at random.

    The columns are brought to a common scale first (mid-ranks for Spearman, mean 0 and length 1 for Pearson), because
    the two models are exchangeable under the hypothesis only when one does not merely spread its similarities wider;
    neither correlation changes by that. After a swap the mid-ranks are worked out again. The p-value counts the
    observed arrangement in, (1 + as extreme) / (1 + permutations), so that it is never 0; equal columns give 1. `nan`
    where a correlation is not defined.
    """
    differences = correlations_under_swaps(gold, first, second, correlation)
    if differences is None:
        return float("nan")
    gold = np.asarray(gold, dtype=np.float64)
    observed = abs(differences(np.zeros((1, len(gold)), dtype=bool))[0])
    generator = np.random.default_rng(seed)
    block = max(1, CELLS_AT_A_TIME // (2 * len(gold)))
    as_extreme = 0
    for start in range(0, permutations, block):
        swapped = generator.random((min(block, permutations - start), len(gold))) < 0.5
        # Arrangements that are equal but for rounding count as equally extreme.
        as_extreme += int((np.abs(differences(swapped)) >= observed - NEGLIGIBLE).sum())
    return (1 + as_extreme) / (1 + permutations)


def correlations_under_swaps(
    gold: ArrayLike, first: ArrayLike, second: ArrayLike, correlation: Literal["pearson", "spearman"]
) -> Callable[[Swapped], Floats] | None:
    """The difference of the two correlations with `gold` for each swap of the models in a block, (swaps, rows).

    None where a correlation is not defined.
    """
    gold, a, b = (np.asarray(column, dtype=np.float64) for column in (gold, first, second))
    if any(len(column) < 2 or is_constant(column) or np.isnan(column).any() for column in (gold, a, b)):
        return None
    return _pearson_differences(gold, a, b) if correlation == "pearson" else _spearman_differences(gold, a, b)


def means_under_swaps(first: ArrayLike, second: ArrayLike) -> Callable[[Swapped], Floats]:
    """The difference of the two means for each swap of the models: a swap turns the sign of a row's difference."""
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return lambda swapped: np.asarray(np.where(swapped, -1.0, 1.0) @ difference / len(difference), dtype=np.float64)


def _pearson_differences(gold: Floats, first: Floats, second: Floats) -> Callable[[Swapped], Floats]:
    g, a, b = standardised(gold), standardised(first), standardised(second)
    rows = len(g)
    sums_first = np.stack([a, a * a, g * a], axis=1)
    sums_second = np.stack([b, b * b, g * b], axis=1)
    total = (sums_first + sums_second).sum(axis=0)

    def correlations(sums: Floats) -> Floats:
        deviation = np.sqrt(np.maximum(sums[:, 1] - sums[:, 0] ** 2 / rows, NEGLIGIBLE))
        return np.asarray(sums[:, 2] / deviation, dtype=np.float64)

    def differences(swapped: Swapped) -> Floats:
        one = sums_first.sum(axis=0) + swapped.astype(np.float64) @ (sums_second - sums_first)
        return correlations(total - one) - correlations(one)

    return differences


def _spearman_differences(gold: Floats, first: Floats, second: Floats) -> Callable[[Swapped], Floats]:
    rows = len(gold)
    g = standardised(midranks(gold))
    # One model after a swap holds n of the 2 n pooled values: its mid-ranks follow from counts of 0 and 1 over them.
    pooled = RankedColumn(np.concatenate([midranks(first), midranks(second)]))

    def correlations(taken: Swapped) -> Floats:
        counts = taken.astype(np.int64)
        ranks = pooled.centred_ranks(counts)
        ranks *= counts
        squares = np.einsum("ij,ij->i", ranks, ranks)
        products = (ranks[:, :rows] + ranks[:, rows:]) @ g
        return np.asarray(products / np.sqrt(np.maximum(squares, NEGLIGIBLE)), dtype=np.float64)

    def differences(swapped: Swapped) -> Floats:
        taken = np.concatenate([~swapped, swapped], axis=1)
        return correlations(~taken) - correlations(taken)

    return differences


def paired_mean_permutation_p(first: ArrayLike, second: ArrayLike, permutations: int, seed: int) -> float:
    """Two-sided p-value of "both models have the same mean per row", swapping the models within rows at random.

    A swap turns the sign of a row's difference, so that the test is the sign-flip test of the mean difference.
    """
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    observed = abs(difference.sum())
    generator = np.random.default_rng(seed)
    block = max(1, CELLS_AT_A_TIME // max(1, len(difference)))
    as_extreme = 0
    for start in range(0, permutations, block):
        kept = generator.random((min(block, permutations - start), len(difference))) < 0.5
        sums = np.abs(np.where(kept, 1.0, -1.0) @ difference)
        as_extreme += int((sums >= observed - NEGLIGIBLE * max(1, len(difference))).sum())
    return (1 + as_extreme) / (1 + permutations)
