"""parquet files into columns of text, never more of them in memory than the limit allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.charset import Limits
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.several import Several
from stsflow.tasks.reading.rows import FileRows, columns_for, composed, listed, missing_column
from stsflow.tasks.sets.spilled import spilled

BATCH_ROWS = 65_536
BLOCK_ROWS = 4096
"""Rows of a block of a file that is never read as a whole."""
# A damaged file shows itself in any of these: Arrow's own errors, names that are no text, sizes beyond all memory.
DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, RecursionError)


def read_parquet(path: Path, shown: str, wanted: Sequence[str], limits: Limits) -> FileRows:
    """The `wanted` columns as text; raises DataError for damage, a column that is there twice, no UTF-8."""
    not_text: dict[str, int] = {}
    table = spilled(_tables(path, shown, wanted, limits, not_text))
    return FileRows(shown, table, np.arange(1, table.num_rows + 1, dtype=np.int64), "row", not_text)


def _damaged(shown: str, error: BaseException) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"{shown}: not a readable parquet file: {reason[:200]}")


def _tables(
    path: Path, shown: str, wanted: Sequence[str], limits: Limits, not_text: dict[str, int]
) -> Iterator[pa.Table]:
    """The wanted columns in blocks; `not_text` takes those that are numbers."""
    try:
        yield from _decoded(path, shown, wanted, limits, not_text)
    except DAMAGE as error:
        raise _damaged(shown, error) from None


def _decoded(
    path: Path, shown: str, wanted: Sequence[str], limits: Limits, not_text: dict[str, int]
) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    parts = {name: _parts(schema, name) for name in wanted}
    roots = {one: _root(schema, one, shown) for several in parts.values() for one in several}
    # As dictionaries: a million equal long texts are small in the file and in memory, and their size can be foreseen.
    texts = [root for root in set(roots.values()) if pa.types.is_string(schema.field(root).type)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        size = rows = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=sorted(set(roots.values()))):
            columns = {name: _field(batch, root, name) for name, root in roots.items()}
            size += sum(_bytes_as_text(column) for column in columns.values())
            if size > limits.unpacked_bytes:
                raise DataError(
                    f"{shown}: its columns hold more than {limits.unpacked_bytes:,} bytes (the source's "
                    "`max_unpacked_bytes`). If they are meant to, raise that limit."
                )
            rows += len(batch)
            yield pa.table(
                {
                    name: _lists([columns[one] for one in several], name, shown, not_text)
                    if isinstance(name, Several) else _text(columns[name], name, shown, not_text)
                    for name, several in parts.items()
                }
            )  # fmt: skip
    if rows == 0:
        raise DataError(f"{shown}: the file has no rows.")


def blocks_of_parquet(path: Path, shown: str, text: str, keep: Sequence[str]) -> Iterator[tuple[FileRows, pa.Table]]:
    """The column `text` as text, and the columns `keep` in their own types, a block of rows at a time.

    Raises DataError for damage, a column that is not there or there twice, and no UTF-8.
    """
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        roots = {name: _root(schema, name, shown) for name in (text, *keep)}
        first = 1
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=sorted(set(roots.values()))):
                not_text: dict[str, int] = {}
                column = _text(_field(batch, roots[text], text), text, shown, not_text)
                positions = np.arange(first, first + len(batch), dtype=np.int64)
                kept = pa.table({name: _plain(_field(batch, roots[name], name)) for name in keep})
                first += len(batch)
                yield FileRows(shown, pa.table({text: column}), positions, "row", not_text), kept
        if first == 1:
            raise DataError(f"{shown}: the file has no rows.")
    except DAMAGE as error:
        raise _damaged(shown, error) from None


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _parts(schema: pa.Schema, name: str) -> list[str]:
    """The columns that `name` stands for: itself, or of `Several` those that are numbered after it."""
    return (columns_for(name, schema.names) if isinstance(name, Several) else []) or [name]


def _field(batch: pa.RecordBatch, root: str, name: str) -> pa.Array:
    column = batch.column(root)
    for part in composed(name)[len(composed(root)) + 1 :].split(".") if composed(root) != composed(name) else ():
        column = pc.struct_field(column, _index(column.type, part))
    return column


def _bytes_as_text(column: pa.Array) -> int:
    """Size of the column once every row holds its own text."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary.cast(pa.large_binary()))
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0) + 8 * len(column)


def _text(column: pa.Array, name: str, shown: str, not_text: dict[str, int]) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(f"{shown}: the column {name!r} does not hold single values, but {kind}.")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        not_text.setdefault(name, 1)
    text = _plain(column).cast(pa.large_string())
    text.validate(full=True)
    return text


def _lists(columns: Sequence[pa.Array], name: str, shown: str, not_text: dict[str, int]) -> pa.Array:
    """One column of lists of text, out of one such column, or of columns with a value each."""
    (column,) = columns if len(columns) == 1 else (None,)
    if column is None or not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return listed([_text(one, name, shown, not_text) for one in columns])
    values = _text(column.flatten(), name, shown, not_text)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _root(schema: pa.Schema, name: str, shown: str) -> str:
    """Top-level column that holds `name`, which may be nested in it."""
    found = _only(schema.names, name, shown)
    if found is not None:
        return found
    first, _, rest = name.partition(".")
    root = _only(schema.names, first, shown)
    kind = schema.field(root).type if root is not None else None
    for part in rest.split(".") if rest else ():
        index = _index(kind, part) if kind is not None and pa.types.is_struct(kind) else -1
        kind = kind.field(index).type if kind is not None and index >= 0 else None
    if root is None or kind is None or not rest:
        raise missing_column(shown, name, _leaves(schema))
    return root


def _only(names: Sequence[str], name: str, shown: str) -> str | None:
    """The column that is called `name`; raises DataError when several are."""
    found = [one for one in names if composed(one) == composed(name)]
    if len(found) > 1:
        raise DataError(f"{shown}: the file has the column {name!r} more than once.")
    return found[0] if found else None


def _index(kind: pa.StructType, part: str) -> int:
    """Number of the struct's only field of that name, or -1."""
    names = Counter(composed(kind.field(index).name) for index in range(kind.num_fields))
    if names[composed(part)] != 1:
        return -1
    return list(names).index(composed(part)) if len(names) == kind.num_fields else -1


def _leaves(fields: Iterable[pa.Field], prefix: str = "") -> list[str]:
    return list(_leaf_names(fields, prefix))


def _leaf_names(fields: Iterable[pa.Field], prefix: str) -> Iterator[str]:
    for field in fields:
        if pa.types.is_struct(field.type):
            inner = [field.type.field(index) for index in range(field.type.num_fields)]
            yield from _leaf_names(inner, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"
