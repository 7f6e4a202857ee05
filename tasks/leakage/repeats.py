"""What is wrong inside one set: rows that repeat, rows with equal sides, pairs that contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.leakage.overlap import Sentences


@dataclass(frozen=True)
class Repeats:
    """Rows and pairs of one set that stand out."""

    duplicates: NDArray[np.bool_]
    """Rows that occurred before, with the same texts in the same columns (and the same score)."""
    identical_sides: NDArray[np.bool_]
    """Rows of which two texts are equal."""
    conflicts: NDArray[np.bool_]
    """Rows of a pair that contradicts itself: see `conflicting_pairs`."""
    conflicting_pairs: int
    """Distinct unordered pairs with more than one score; with negatives, pairs that are both positive and negative."""


def find_repeats(sentences: Sentences) -> Repeats:
    """The rows that stand out, exactly compared."""
    numbers = sentences.numbers
    in_order = np.sort(numbers, axis=1)
    identical = (in_order[:, 1:] == in_order[:, :-1]).any(axis=1)
    del in_order
    if sentences.scores is not None:
        conflicts, pairs = _scores_disagree(_pair_codes(numbers[:, 0], numbers[:, 1]), _ranks(sentences.scores))
    elif sentences.negatives:
        conflicts, pairs = _roles_disagree(numbers, sentences.negatives)
    else:
        conflicts, pairs = np.zeros(len(numbers), bool), 0
    columns = list(numbers.T) if sentences.scores is None else [*numbers.T, _ranks(sentences.scores)]
    return Repeats(_repeating(columns), identical, conflicts, pairs)


def _repeating(columns: Sequence[NDArray[np.int32]]) -> NDArray[np.bool_]:
    """Which rows have in all columns what an earlier row has in them."""
    order = np.lexsort(columns)  # rows that are equal keep their order
    again = np.ones(len(order), bool)
    again[:1] = False
    for column in columns:
        in_order = column[order]
        again[1:] &= in_order[1:] == in_order[:-1]
    repeating = np.empty(len(order), bool)
    repeating[order] = again
    return repeating


def _ranks(values: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _pair_codes(one: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number for each unordered pair of sentence numbers."""
    return (np.minimum(one, other).astype(np.int64) << 32) | np.maximum(one, other)


def _scores_disagree(pairs: NDArray[np.int64], scores: NDArray[np.int32]) -> tuple[NDArray[np.bool_], int]:
    """Rows whose pair has more than one score, and the number of such pairs."""
    distinct = np.unique(np.stack([pairs, scores], axis=1), axis=0)[:, 0]
    codes, counts = np.unique(distinct, return_counts=True)
    conflicting = codes[counts > 1]
    return np.isin(pairs, conflicting), len(conflicting)


def _roles_disagree(numbers: NDArray[np.int32], negatives: int) -> tuple[NDArray[np.bool_], int]:
    """Rows with a pair that is (anchor, positive) in one row and (anchor, negative) in one, and the number of pairs."""
    pairs = _pair_codes(numbers[:, :1], numbers[:, 1:])
    conflicting = np.intersect1d(pairs[:, :-negatives], pairs[:, -negatives:])
    return np.asarray(np.isin(pairs, conflicting).any(axis=1)), len(conflicting)
