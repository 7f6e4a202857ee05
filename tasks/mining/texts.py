"""The texts that mining deals with, numbered: texts that are equal after normalisation are one."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.sets.texts import numbered_texts

BLOCK = 65_536
TOGETHER = 0.5
"""A scored pair belongs together from above this score (of 0 to 1)."""


class Texts:
    """Numbers of texts, and by each number the text that had it first. Texts lie in Arrow, their keys as 16 bytes."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._chunks: list[pa.Array] = []
        self._waiting: list[str] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The number of each text; a text that is new gets the next one."""
        found = array("i")
        for start in range(0, len(texts), BLOCK):
            for text in texts[start : start + BLOCK]:
                known = len(self._numbers)
                found.append(self._numbers.setdefault(_key(text), known))
                if found[-1] == known:
                    self._waiting.append(text)
            self._chunks.append(pa.array(self._waiting, pa.large_string()))
            self._waiting = []
        return np.frombuffer(found, np.int32) if found else np.empty(0, np.int32)

    def knows(self, text: str) -> int:
        """The number of the text; -1 when it has none."""
        return self._numbers.get(_key(text), -1)

    def take(self, numbers: NDArray[np.integer]) -> pa.ChunkedArray:
        """The texts with these numbers."""
        if not len(numbers):
            return pa.chunked_array([], pa.large_string())
        return pa.chunked_array(self._chunks, pa.large_string()).take(pa.array(numbers))


def _key(text: str) -> bytes:
    return blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class TextList(Sequence[str]):
    """Texts by their place in a list of numbers, made when they are asked for."""

    def __init__(self, texts: Texts, numbers: NDArray[np.integer]) -> None:
        self._texts, self._numbers = texts, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return self._texts.take(self._numbers[place]).to_pylist()
        return self._texts.take(self._numbers[place : place + 1])[0].as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            yield from self[start : start + BLOCK]


def numbered_columns(prepared: PreparedSet, texts: Texts) -> NDArray[np.int32]:
    """(rows, text columns) numbers of a set's texts."""
    own, distinct = numbered_texts(read_rows(prepared), prepared.roles.texts)
    return texts.number(distinct)[own]


def positive_pairs(prepared: PreparedSet, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """(pairs, 2) numbers of the texts that the set says belong together, its `numbers` being (rows, columns).

    Those are the anchor and each text that is no negative; in a scored set where the score is above 0.5.
    """
    roles = prepared.roles
    if roles.score is not None:
        numbers = numbers[read_rows(prepared)[roles.score].to_numpy() > TOGETHER]
    others = range(1, len(roles.texts) - roles.negatives)
    return np.concatenate([numbers[:, [0, column]] for column in others] or [np.empty((0, 2), np.int32)])


def both_ways(pairs: Iterable[NDArray[np.int32]], size: int) -> sparse.csr_matrix:
    """(size, size), one where two texts are a pair of either order; a text and itself are none."""
    every = np.concatenate([*pairs, np.empty((0, 2), np.int32)])
    every = every[every[:, 0] != every[:, 1]]
    row, column = np.concatenate([every, every[:, ::-1]]).T
    matrix = sparse.csr_matrix((np.ones(len(row), np.int32), (row, column)), shape=(size, size))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
