"""The nearest by words: BM25 as Lucene has it, by bm25s (Lù, "BM25S: Orders of magnitude faster lexical search", 2024).

A text's tokens are its words, and of words in Chinese, Japanese and Korean script their pairs of neighbouring
characters, as in Lucene's CJKAnalyzer. A Korean word carries its particles and endings (서울은, 서울에서), so that
words of the same meaning are seldom the same; Chinese and Japanese are written without spaces. Pairs find both, without
a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.search import QUERIES_AT_A_TIME, Nearest

K1, B = 1.5, 0.75
_CJK = "\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_RUNS = re.compile(rf"[{_CJK}]+|[^\W{_CJK}]+")


def tokens_of(text: str) -> list[str]:
    """The tokens of `text`, in order: words, of CJK script pairs of characters (a single one stands alone)."""
    found: list[str] = []
    for run in _RUNS.findall(unicodedata.normalize("NFKC", text).casefold()):
        if len(run) > 1 and re.match(f"[{_CJK}]", run):
            found += [run[place : place + 2] for place in range(len(run) - 1)]
        else:
            found.append(run)
    return found


class LexicalIndex:
    """Texts to be found by their words; it holds one number a distinct token of a text, and not the texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Index `texts`, which are read once, one after another."""
        from bm25s import BM25
        from bm25s.tokenization import Tokenized

        vocabulary: dict[str, int] = {}
        numbers, ends = array("i"), array("q", [0])
        for text in texts:
            numbers.extend([vocabulary.setdefault(token, len(vocabulary)) for token in tokens_of(text)])
            ends.append(len(numbers))
        self.size = len(ends) - 1
        self._index: BM25 | None = None
        if vocabulary:
            self._index = BM25(k1=K1, b=B, method="lucene", backend="numpy", csc_backend="scipy")
            self._index.index(Tokenized(_Lists(numbers, ends), vocabulary), show_progress=False)

    def nearest(self, queries: Sequence[str], k: int) -> Iterator[Nearest]:
        """The `k` texts of highest score for every query, 256 queries at a time, in order.

        Only texts that share a token with the query are found.
        """
        for start in range(0, len(queries), QUERIES_AT_A_TIME):
            block = queries[start : start + QUERIES_AT_A_TIME]
            ids, scores = np.full((len(block), k), -1, np.int64), np.full((len(block), k), -np.inf)
            for row, query in enumerate(block):
                of_all = self.scores(query)
                order = _best(of_all, k)
                ids[row, : len(order)], scores[row, : len(order)] = order, of_all[order]
            yield Nearest(ids, scores)

    def scores(self, query: str) -> NDArray[np.float32]:
        """The score of every text for `query`: (texts,); 0 where they share no token."""
        tokens = tokens_of(query)
        if self._index is None or not tokens:
            return np.zeros(self.size, np.float32)
        return np.asarray(self._index.get_scores(tokens))


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Numbers of the `k` highest scores above 0, highest first; ties in order."""
    found = np.flatnonzero(scores > 0)
    if len(found) > k:
        found = found[scores[found] >= np.partition(scores[found], -k)[-k]]
    return found[np.argsort(-scores[found], kind="stable")[:k]]


class _Lists(Sequence[list[int]]):
    """Lists that lie in one array end to end, each made when it is asked for."""

    def __init__(self, numbers: array[int], bounds: array[int]) -> None:
        self._numbers, self._bounds = numbers, bounds

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, place: Any) -> Any:
        if place >= len(self):
            raise IndexError(place)
        return self._numbers[self._bounds[place] : self._bounds[place + 1]].tolist()
