"""json, jsonl and parquet files into columns of text, and the choice of a reader by format."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.delimited import BLOCK_ROWS, Dialect, read_delimited
from tasks.data.encoding import broken_text, open_text
from tasks.data.reading import FileRows, cut, missing_column
from tasks.errors import DataError

ENDINGS = {".tsv": "tsv", ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(name: str) -> str | None:
    """Format that a file name's ending says (`.gz` is looked through on text), or None."""
    stem = name.lower()
    unpacked = stem.removesuffix(".gz")
    found = ENDINGS.get(Path(unpacked).suffix)
    return None if found == "parquet" and stem != unpacked else found


def read_file(
    path: Path, shown: str, kind: str, wanted: Sequence[str], *, dialect: Dialect, records_at: str | None = None
) -> FileRows:
    """The `wanted` columns of a file of format `kind`; `dialect` is for tsv, csv and the encoding of json.

    A dotted name is a nested field in json, jsonl and parquet, unless a column has just that name. Raises `DataError`
    with file and line (or row).
    """
    if path.stat().st_size == 0:
        raise DataError(f"{shown}: the file is empty (0 bytes).")
    if kind in ("tsv", "csv"):
        return read_delimited(path, shown, dialect, wanted)
    if kind == "parquet":
        return _read_parquet(path, shown, wanted)
    try:
        numbered = (
            _lines(path, shown, dialect.encoding)
            if kind == "jsonl"
            else _document(path, shown, dialect.encoding, records_at)
        )
        return _from_objects(numbered, shown, wanted, "line" if kind == "jsonl" else "row")
    except UnicodeDecodeError:
        raise DataError(broken_text(path, shown, dialect.encoding)) from None
    except LookupError:
        raise DataError(f"{shown}: there is no encoding {dialect.encoding!r}.") from None
    except (gzip.BadGzipFile, EOFError):
        raise DataError(f"{shown}: the file is not a whole gzip file.") from None


# ------------------------------------------------------------------------------------------------------------- json


def _lines(path: Path, shown: str, encoding: str) -> Iterator[tuple[int, Any]]:
    with open_text(path, encoding) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _parsed(line.rstrip("\r\n"), f"{shown}, line {number}")


def _document(path: Path, shown: str, encoding: str, records_at: str | None) -> Iterator[tuple[int, Any]]:
    with open_text(path, encoding) as stream:
        value = _parsed(stream.read(), shown)
    for part in records_at.split(".") if records_at else ():
        if not isinstance(value, dict) or part not in value:
            raise DataError(f"{shown}: `records_at` says {records_at!r}, but there is no {part!r} in the document.")
        value = value[part]
    if not isinstance(value, list):
        place = f"at {records_at!r}" if records_at else "the document"
        hint = (
            f" It has: {', '.join(map(repr, list(value)[:10]))}; set `records_at`." if isinstance(value, dict) else ""
        )
        raise DataError(f"{shown}: {place} is not a list of rows.{hint}")
    yield from enumerate(value, 1)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f", line {error.lineno}" if ", line " not in where else ""
        raise DataError(f"{where}{place}: not valid JSON: {error.msg} (column {error.colno}).") from None


def _from_objects(numbered: Iterable[tuple[int, Any]], shown: str, wanted: Sequence[str], unit: str) -> FileRows:
    """Columns from JSON objects: text as it is, numbers and booleans as they would be written in JSON."""
    blocks: list[pa.Table] = []
    positions: list[int] = []
    columns: dict[str, list[str | None]] = {name: [] for name in wanted}
    not_text: set[str] = set()

    def close_block() -> None:
        blocks.append(pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()}))
        for values in columns.values():
            values.clear()

    for position, row in numbered:
        if not isinstance(row, dict):
            raise DataError(f"{shown}, {unit} {position}: a row is an object with named fields, found {cut(row)}.")
        for name, values in columns.items():
            value = _nested(row, name, f"{shown}, {unit} {position}")
            if isinstance(value, str) and not _is_text(value):
                raise DataError(
                    f"{shown}, {unit} {position}: the field {name!r} holds half of a surrogate pair, which no "
                    f"tokenizer can read: {cut(value)}. Mend or remove the row."
                )
            if isinstance(value, str) or value is None:
                values.append(value)
            elif isinstance(value, bool | int | float):
                not_text.add(name)
                values.append(json.dumps(value))
            else:
                raise DataError(f"{shown}, {unit} {position}: the field {name!r} is not a single value: {cut(value)}.")
        positions.append(position)
        if len(positions) % BLOCK_ROWS == 0:
            close_block()
    if not positions:
        raise DataError(f"{shown}: the file has no rows.")
    close_block()
    table = pa.concat_tables(blocks)
    return FileRows(shown, table, np.asarray(positions, dtype=np.int64), unit, frozenset(not_text))


def _is_text(value: str) -> bool:
    """Whether it has a UTF-8 form: JSON may escape half of a surrogate pair (RFC 8259, section 8.2)."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _nested(row: dict[str, Any], name: str, where: str) -> Any:
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise missing_column(where, name, _names(row))
        value = value[part]
    return value


def _names(row: dict[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in row.items():
        names += _names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


# ---------------------------------------------------------------------------------------------------------- parquet


def _read_parquet(path: Path, shown: str, wanted: Sequence[str]) -> FileRows:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
        schema = file.schema_arrow
        roots = {name: _root(schema, name, shown) for name in wanted}
        table = file.read(columns=sorted(set(roots.values())))
    except pa.ArrowInvalid as error:
        raise DataError(f"{shown}: not a readable parquet file: {str(error).splitlines()[0]}") from None
    if table.num_rows == 0:
        raise DataError(f"{shown}: the file has no rows.")
    columns: dict[str, pa.ChunkedArray] = {}
    not_text: set[str] = set()
    for name, root in roots.items():
        column = table.column(root)
        if root != name:
            column = pc.struct_field(column, name[len(root) + 1 :].split("."))
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            raise DataError(f"{shown}: the column {name!r} does not hold single values, but {kind}.")
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            not_text.add(name)
        columns[name] = column.cast(pa.large_string())
    positions = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return FileRows(shown, pa.table(columns), positions, "row", frozenset(not_text))


def _root(schema: pa.Schema, name: str, shown: str) -> str:
    """Top-level column that holds `name`, which may be nested in it."""
    if name in schema.names:
        return name
    root, _, rest = name.partition(".")
    kind = schema.field(root).type if root in schema.names else None
    for part in rest.split(".") if rest else ():
        kind = kind.field(part).type if kind is not None and pa.types.is_struct(kind) and _has(kind, part) else None
    if kind is None or not rest:
        raise missing_column(shown, name, _leaves(schema))
    return root


def _has(kind: pa.DataType, part: str) -> bool:
    return any(kind.field(index).name == part for index in range(kind.num_fields))


def _leaves(fields: Iterable[pa.Field], prefix: str = "") -> list[str]:
    names: list[str] = []
    for field in fields:
        if pa.types.is_struct(field.type):
            inner = [field.type.field(index) for index in range(field.type.num_fields)]
            names += _leaves(inner, f"{prefix}{field.name}.")
        else:
            names.append(f"{prefix}{field.name}")
    return names
