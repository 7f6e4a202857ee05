"""Text numbers: equal texts of a data set get the same number, whatever column they stand in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Arrow's 32-bit string offsets end at 2 GiB of text; well before that the columns are read with 64-bit offsets.
_LARGE_TEXT_BYTES = 1 << 30
_TEXTS_AT_A_TIME = 65_536


def numbered_texts(table: pa.Table, columns: Sequence[str]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """A (rows, columns) matrix of text numbers, and the distinct texts by number, in order of appearance by column.

    Exact, not by hash: Arrow's dictionary encoding over all columns together. An empty text is a text like any other; a
    missing one (null) is -1.
    """
    numbers, distinct = _encode([chunk for name in columns for chunk in table.column(name).chunks])
    return np.ascontiguousarray(numbers.reshape(len(columns), table.num_rows).T), distinct


def text_numbers(table: pa.Table, columns: Sequence[str], *, normalise: bool = False) -> npt.NDArray[np.int32]:
    """A (rows, columns) matrix of text numbers: two cells hold the same number exactly when their texts are equal.

    With `normalise` texts are compared after case folding and removal of outer space.
    """
    numbers, distinct = numbered_texts(table, columns)
    if normalise and len(distinct):
        folded = pa.array([text.casefold().strip() for text in distinct.to_pylist()], type=distinct.type)
        same, _ = _encode([folded])
        numbers = np.where(numbers < 0, -1, same[numbers]).astype(np.int32)
    return numbers


class ArrowTexts(Sequence[str]):
    """Texts that lie in Arrow, made when they are asked for, one after another or a slice at a time."""

    def __init__(self, texts: pa.Array) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            texts: list[str] = self._texts[place].to_pylist()
            return texts
        return str(self._texts[place].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _TEXTS_AT_A_TIME):
            yield from self[start : start + _TEXTS_AT_A_TIME]


def _encode(chunks: Sequence[pa.Array]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Dictionary indices of all chunks, one after the other, and the dictionary that they share."""
    if not chunks:
        return np.empty(0, dtype=np.int32), pa.array([], type=pa.string())
    if sum(chunk.nbytes for chunk in chunks) > _LARGE_TEXT_BYTES or len({chunk.type for chunk in chunks}) > 1:
        chunks = [chunk.cast(pa.large_string()) for chunk in chunks]
    encoded = pa.chunked_array(chunks).dictionary_encode()
    indices = [pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    # Arrow gives every chunk the dictionary of the whole column, so its indices can stand side by side.
    return np.concatenate(indices).astype(np.int32, copy=False), encoded.chunk(0).dictionary
