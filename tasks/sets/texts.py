"""Text numbers: equal texts of a data set get the same number, whatever column they stand in.

What is in memory is some bytes a text: a hash while equal ones are looked for, the number, the place. The texts
themselves stay where they lie, and are compared there: equal hashes only say which ones to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.errors import DataError

MOST_TEXTS = 2**31 - 1
_TEXTS_AT_A_TIME = 65_536

Key = Callable[[str], str]


def numbered_texts(
    table: pa.Table, columns: Sequence[str], key: Key | None = None
) -> tuple[npt.NDArray[np.int32], ArrowTexts]:
    """A (rows, columns) matrix of text numbers, and the distinct texts by number, in order of appearance by column.

    Exact: with a `key`, texts are equal when theirs are. An empty text is a text like any other; a missing one (null)
    is -1. Raises DataError for more texts than an int32 counts.
    """
    texts = ArrowTexts([chunk for name in columns for chunk in table.column(name).chunks])
    if len(texts) > MOST_TEXTS:
        raise DataError(
            f"{len(texts):,} texts in {len(columns)} columns of one data set: at most {MOST_TEXTS:,} are told apart; "
            "take fewer rows (`limit`), or make several sets of them."
        )
    first = _first_equal(texts, key)
    is_first = first == np.arange(len(texts), dtype=np.int32)
    number_at = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    numbers = np.where(first < 0, np.int32(-1), number_at[first])
    distinct = texts.at(np.flatnonzero(is_first).astype(np.int32))
    return np.ascontiguousarray(numbers.reshape(len(columns), table.num_rows).T), distinct


def text_numbers(table: pa.Table, columns: Sequence[str], *, normalise: bool = False) -> npt.NDArray[np.int32]:
    """A (rows, columns) matrix of text numbers: two cells hold the same number exactly when their texts are equal.

    With `normalise` texts are compared after case folding and removal of outer space.
    """
    return numbered_texts(table, columns, _folded if normalise else None)[0]


class ArrowTexts(Sequence[str]):
    """Texts that lie in Arrow, in one array or several, made when they are asked for."""

    def __init__(self, chunks: Sequence[pa.Array], places: npt.NDArray[np.int32] | None = None) -> None:
        """With `places`, the texts at those of the chunks one after the other."""
        self._chunks, self._places = chunks, places
        self._bounds = np.cumsum([0, *map(len, chunks)])

    def __len__(self) -> int:
        return int(self._bounds[-1]) if self._places is None else len(self._places)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            texts: list[str] = self.take(np.arange(*place.indices(len(self)))).to_pylist()
            return texts
        return str(self.take(np.array([range(len(self))[place]]))[0].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _TEXTS_AT_A_TIME):
            yield from self[start : start + _TEXTS_AT_A_TIME]

    def at(self, numbers: npt.NDArray[np.int32]) -> ArrowTexts:
        """Those with these numbers, in their order."""
        return ArrowTexts(self._chunks, numbers if self._places is None else self._places[numbers])

    def take(self, numbers: npt.NDArray[np.integer]) -> pa.Array:
        """The texts with these numbers, brought together in memory as large strings."""
        places = np.asarray(numbers if self._places is None else self._places[numbers])
        in_order = bool((places[1:] >= places[:-1]).all())
        order = None if in_order else np.argsort(places, kind="stable")
        rising = places if order is None else places[order]
        ends = np.searchsorted(rising, self._bounds)
        found = [
            chunk.take(pa.array(rising[low:high] - begin)).cast(pa.large_string())
            for chunk, begin, low, high in zip(self._chunks, self._bounds, ends, ends[1:], strict=False)
            if high > low
        ]
        together = pa.concat_arrays(found) if found else pa.array([], pa.large_string())
        return together if order is None else together.take(pa.array(np.argsort(order, kind="stable")))

    def known(self) -> npt.NDArray[np.bool_]:
        """Of each text whether it is there, and not null."""
        parts = [chunk.is_valid().to_numpy(zero_copy_only=False) for chunk in self._chunks]
        known = np.concatenate([np.zeros(0, np.bool_), *parts])
        return known if self._places is None else known[self._places]


def _folded(text: str) -> str:
    return text.casefold().strip()


def _first_equal(texts: ArrowTexts, key: Key | None) -> npt.NDArray[np.int32]:
    """Of each text the place of the first one that it equals, which may be its own; -1 for a null."""
    first = np.full(len(texts), -1, np.int32)
    places, hashes = np.flatnonzero(texts.known()).astype(np.int32), _hashes(texts, key)
    hashes = hashes if len(places) == len(hashes) else hashes[places]
    while len(places):  # once, and again for texts whose hash is that of another one
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        places, hashes = places[order], hashes[order]
        del order
        begins = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
        candidates = np.repeat(places[begins], np.diff(begins, append=len(places)))
        other = _other(texts, places, candidates, key)
        first[places[~other]] = candidates[~other]
        places, hashes = places[other], hashes[other]
    return first


def _hashes(texts: ArrowTexts, key: Key | None) -> npt.NDArray[np.int64]:
    """Python's own: another in each process, which nothing that comes out depends on."""
    hashes = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), _TEXTS_AT_A_TIME):
        some = texts[start : start + _TEXTS_AT_A_TIME]
        keys = some if key is None else [text if text is None else key(text) for text in some]
        hashes[start : start + len(some)] = np.fromiter(map(hash, keys), np.int64, len(some))
    return hashes


def _other(
    texts: ArrowTexts, places: npt.NDArray[np.int32], candidates: npt.NDArray[np.int32], key: Key | None
) -> npt.NDArray[np.bool_]:
    """Whether the text at each place is another one than that at its candidate."""
    other = np.zeros(len(places), np.bool_)
    compared = np.flatnonzero(places != candidates).astype(np.int32)
    compared = compared[np.argsort(places[compared])]  # one side as it lies on the disk
    for start in range(0, len(compared), _TEXTS_AT_A_TIME):
        some = compared[start : start + _TEXTS_AT_A_TIME]
        one, two = texts.take(places[some]), texts.take(candidates[some])
        differ = pc.not_equal(one, two).to_numpy(zero_copy_only=False)
        if key is not None and differ.any():
            unlike = np.flatnonzero(differ)
            pairs = zip(*(side.take(pa.array(unlike)).to_pylist() for side in (one, two)), strict=True)
            differ = differ.copy()
            differ[unlike] = [key(a) != key(b) for a, b in pairs]
        other[some] = differ
    return other
