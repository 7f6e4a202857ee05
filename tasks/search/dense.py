"""The nearest by embeddings: exact, block by block; through an index of usearch (extra `search`) where that is asked.

Both decide in float64 on similarities in which what is equal by mathematics is equal
(`tasks/statistics/similarity.py`), so that neither the size of a block nor the order of a sum decides a rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.search import QUERIES_AT_A_TIME, Nearest
from stsflow.tasks.statistics.similarity import all_similarities

CORPUS_AT_A_TIME = 16_384
"""Texts of the corpus that are compared at a time: with 256 queries and 384 dimensions some 120 MiB in float64."""
METRICS = {"cosine": "cos", "dot": "ip", "euclidean": "l2sq"}
"""What usearch calls the similarities that it can search by."""
OVERSAMPLING = 2
"""Times as many as are asked for come out of the index, since it ranks by half the precision."""


class Rows(Protocol):
    """Embeddings that are read block by block: an array, or what lies on the disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.floating]: ...


def nearest(
    queries: Rows, corpus: Rows, k: int, similarity: str = "cosine", *, exact_up_to: int | None = None
) -> Iterator[Nearest]:
    """The `k` nearest texts of the corpus by `similarity` for every query, 256 queries at a time, in order.

    Both are (texts, dimension); `similarity` is cosine, dot, euclidean or manhattan, as `pair_similarities` gives them.
    Memory depends on the sizes of the blocks and on `k`, not on the corpus. Every query is compared with the whole
    corpus; one of more than `exact_up_to` texts is searched through an index instead, which finds nearly all of the
    nearest and takes memory for all embeddings in half precision. Raises PreconditionError where that extra is missing.
    """
    index = None
    if exact_up_to is not None and corpus.shape[0] > exact_up_to:
        index = _index_of(corpus, similarity, exact_up_to)
    for start in range(0, queries.shape[0], QUERIES_AT_A_TIME):
        block = np.asarray(queries[start : start + QUERIES_AT_A_TIME])
        yield _through(index, block, corpus, k, similarity) if index else _exact(block, corpus, k, similarity)


def _exact(queries: NDArray[np.floating], corpus: Rows, k: int, similarity: str) -> Nearest:
    best = _Best(len(queries), k)
    for first in range(0, corpus.shape[0], CORPUS_AT_A_TIME):
        block = np.asarray(corpus[first : first + CORPUS_AT_A_TIME])
        best.take_in(all_similarities(queries, block, similarity), first)
    return best.ranked()


class _Best:
    """The k best of what was seen so far, for each row of a matrix that comes column block by column block."""

    def __init__(self, rows: int, k: int) -> None:
        self.k = k
        self.shape = (rows, k)
        self.row = np.empty(0, np.int64)
        self.id = np.empty(0, np.int64)
        self.score = np.empty(0, np.float64)
        self.least = np.full(rows, -np.inf)
        """What a score must exceed to be among the best: an equal one that comes later is behind."""

    def take_in(self, scores: NDArray[np.float64], first: int) -> None:
        """Take in `scores` (rows, columns), whose columns are numbered from `first`."""
        least = self.least[:, None]
        if scores.shape[1] > self.k and not np.isfinite(self.least).all():
            of_block = np.partition(scores, -self.k, axis=1)[:, -self.k]
            row, column = np.nonzero((scores > least) & (scores >= of_block[:, None]))
        else:
            row, column = np.nonzero(scores > least)
        row = np.concatenate([self.row, row])
        ids = np.concatenate([self.id, column + first])
        values = np.concatenate([self.score, scores[row[len(self.row) :], column]])
        order = np.lexsort((ids, -values, row))
        row = row[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        order = order[place < self.k]
        self.row, self.id, self.score = row[place < self.k], ids[order], values[order]
        full = np.bincount(self.row, minlength=self.shape[0]) == self.k
        last = np.searchsorted(self.row, np.flatnonzero(full), side="right") - 1
        self.least[full] = self.score[last]

    def ranked(self) -> Nearest:
        """What is best, as a matrix."""
        ids, scores = np.full(self.shape, -1, np.int64), np.full(self.shape, -np.inf)
        place = np.arange(len(self.row)) - np.searchsorted(self.row, self.row)
        ids[self.row, place], scores[self.row, place] = self.id, self.score
        return Nearest(ids, scores)


# ------------------------------------------------------------------------------------------------ through an index


def require_index(where: str) -> None:
    """Raise PreconditionError when usearch is not installed; `where` says what asks for it."""
    if find_spec("usearch") is None:
        raise PreconditionError(
            f"{where} needs the package usearch, which is not installed; pip install 'stsflow[search]'"
        )


def _index_of(corpus: Rows, similarity: str, exact_up_to: int) -> Any:
    require_index(f"an index over {corpus.shape[0]:,} texts (more than exact_up_to: {exact_up_to:,})")
    if similarity not in METRICS:
        raise PreconditionError(f"no index searches by the similarity {similarity!r}; it can by: {', '.join(METRICS)}")
    from usearch.index import Index

    index = Index(ndim=corpus.shape[1], metric=METRICS[similarity], dtype="f16")
    for first in range(0, corpus.shape[0], CORPUS_AT_A_TIME):
        block = np.asarray(corpus[first : first + CORPUS_AT_A_TIME], np.float32)
        index.add(np.arange(first, first + len(block)), block, threads=1)  # by several the graph is another each time
    return index


def _through(index: Any, queries: NDArray[np.floating], corpus: Rows, k: int, similarity: str) -> Nearest:
    wanted = min(OVERSAMPLING * k, corpus.shape[0])
    found = index.search(np.asarray(queries, np.float32), wanted, threads=1)
    ids, scores = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf)
    for row, (keys, count) in enumerate(zip(np.atleast_2d(found.keys), np.atleast_1d(found.counts), strict=True)):
        candidates = np.sort(keys[:count].astype(np.int64))
        exact = all_similarities(queries[row : row + 1], _rows_of(corpus, candidates), similarity)[0]
        order = np.argsort(-exact, kind="stable")[:k]
        ids[row, : len(order)], scores[row, : len(order)] = candidates[order], exact[order]
    return Nearest(ids, scores)


def _rows_of(corpus: Rows, numbers: NDArray[np.int64]) -> NDArray[np.floating]:
    return np.concatenate([corpus[number : number + 1] for number in numbers.tolist()])
