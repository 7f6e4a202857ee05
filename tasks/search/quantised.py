"""Embeddings in fewer bits, as an index holds them, and what a search among them finds.

What is asked stays in float32; what is searched is smaller. `int8` holds a number as one of 256 steps between the least
and the greatest that the index has in its dimension (a quarter of the bytes). `binary` holds its sign (a 32nd) and
compares it with the sign of what is asked; `binary_rescored` lets the question in float32 put the nearest of those in
order (Yamada, Asai and Hajishirzi 2021, arXiv 2106.00882), without any embedding but the bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.search import Nearest
from stsflow.tasks.search.dense import CORPUS_AT_A_TIME, Rows, nearest
from stsflow.tasks.statistics.similarity import all_similarities

Precision = Literal["int8", "binary", "binary_rescored"]
Numbers = NDArray[np.floating]
STEPS = 255
"""Between the least and the greatest number of a dimension."""


def bytes_of(precision: Precision | Literal["float32"], dimension: int) -> int:
    """Bytes of one embedding in an index."""
    return {"float32": 4 * dimension, "int8": dimension}.get(precision, -(-dimension // 8))


class Quantised:
    """Rows as an index gives them back: (texts, dimension), float32, block by block."""

    def __init__(self, rows: Rows, precision: Precision) -> None:
        """Of `rows`, whose least and greatest numbers are looked up once for `int8`."""
        self.shape = rows.shape
        self._rows, self._precision = rows, precision
        self._least, self._step = np.zeros(1, np.float32), np.zeros(1, np.float32)
        if precision == "int8":
            self._least, self._step = _ranges(rows)

    def __getitem__(self, rows: slice) -> Numbers:
        block = np.asarray(self._rows[rows], np.float32)
        if self._precision != "int8":
            return signs(block)
        # As `sentence_transformers.quantize_embeddings` and `stsflow embed` write it: cut off, not rounded.
        places = np.clip(np.floor((block - self._least) / np.where(self._step > 0, self._step, 1)), 0, STEPS)
        return np.asarray(self._least + places * self._step, np.float32)


def signs(rows: Numbers) -> Numbers:
    """1 for a number above 0, else -1: the cosine of two such rows is 1 - 2 h / dimension, h being their Hamming
    distance."""
    return np.where(rows > 0, np.float32(1), np.float32(-1))


def pairs_in(first: Numbers, second: Numbers, precision: Precision) -> tuple[Numbers, Numbers]:
    """Both sides of pairs, (rows, dimension) each, as a search compares them: `second` is in the index."""
    return signs(first) if precision == "binary" else first, Quantised(second, precision)[:]


def nearest_in(
    queries: Rows, corpus: Rows, k: int, precision: Precision, similarity: str = "cosine", *, oversampling: int = 4
) -> Iterator[Nearest]:
    """As `nearest`, in an index of that precision; `binary_rescored` takes the best `k` out of `oversampling` times as
    many that the bits find. Binary embeddings are compared by the cosine of their signs, whatever the model's own."""
    index = Quantised(corpus, precision)
    if precision == "int8":
        yield from nearest(queries, index, k, similarity)
        return
    asked = np.asarray(queries[:])
    if precision == "binary":
        yield from nearest(signs(asked), index, k)
        return
    start = 0
    for found in nearest(signs(asked), index, min(oversampling * k, corpus.shape[0])):
        yield _rescored(asked[start : start + len(found)], index, found, k)
        start += len(found)


def _rescored(queries: Numbers, index: Quantised, found: Nearest, k: int) -> Nearest:
    """The best `k` of what was found, by the cosine of the query itself and the bits; ties in its order."""
    ids, scores = np.full((len(found), k), -1, np.int64), np.full((len(found), k), -np.inf)
    for row, numbers in enumerate(found.ids):
        candidates = np.sort(numbers[numbers >= 0])
        bits = np.concatenate([index[number : number + 1] for number in candidates.tolist()])
        exact = all_similarities(queries[row : row + 1], bits, "cosine")[0]
        order = np.argsort(-exact, kind="stable")[:k]
        ids[row, : len(order)], scores[row, : len(order)] = candidates[order], exact[order]
    return Nearest(ids, scores)


def _ranges(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least number of each dimension and the size of a step."""
    least: NDArray[np.float32] = np.full(rows.shape[1], np.inf, np.float32)
    greatest = -least
    for start in range(0, rows.shape[0], CORPUS_AT_A_TIME):
        block = np.asarray(rows[start : start + CORPUS_AT_A_TIME], np.float32)
        least, greatest = np.minimum(least, block.min(axis=0)), np.maximum(greatest, block.max(axis=0))
    return least, np.asarray((greatest - least) / STEPS, np.float32)
