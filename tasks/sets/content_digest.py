"""One digest for the content of a data set, however it is chunked, compressed or memory-mapped."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLOCK = 65_536


def content_digest(rows: pa.Table) -> str:
    """SHA-256 over the names of the columns and all values in order: text in UTF-8 with its length, numbers as float64.

    A list goes in as its length and its values, values of other types as their text.
    Nulls are told apart from empty texts and from numbers.
    """
    digest = hashlib.sha256("\x1f".join(rows.column_names).encode())
    for start in range(0, rows.num_rows, BLOCK):
        for column in rows.slice(start, BLOCK).columns:
            _feed(digest, column.combine_chunks())
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, column: pa.Array) -> None:
    digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        values = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        digest.update(values.astype("<f8").tobytes())
        return
    if pa.types.is_list(kind):
        digest.update(pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype("<i8").tobytes())
        _feed(digest, column.flatten())
        return
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.large_string())
    texts = [text.encode() for text in column.fill_null("").to_pylist()]
    digest.update(np.fromiter(map(len, texts), "<i8", len(texts)).tobytes())
    digest.update(b"".join(texts))
