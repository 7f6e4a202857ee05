"""json and jsonl files into columns of text, and the choice of a reader by format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.charset import (
    BARE_CR,
    PACKED,
    Limits,
    broken_text,
    check_empty_lines,
    check_packed,
    lines_of,
    open_text,
)
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.several import Several
from stsflow.tasks.reading.delimited import BLOCK_ROWS, Dialect
from stsflow.tasks.reading.parquet import read_parquet
from stsflow.tasks.reading.quoting import read_by_its_quoting
from stsflow.tasks.reading.rows import FileRows, columns_for, composed, cut, missing_column
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.sets.spilled import spilled

MOST_VALUES = 10_000_000
"""Values of a json document, counted from above; each takes some 100 bytes of memory while the document is read."""
DEFAULT_LIMITS = Limits()
ENDINGS = {".tsv": "tsv", ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(name: str) -> str | None:
    """Format that a file name's ending says (`.gz` and `.zst` are looked through on text), or None."""
    stem = name.lower()
    unpacked = next((stem.removesuffix(ending) for ending in PACKED if stem.endswith(ending)), stem)
    found = ENDINGS.get(Path(unpacked).suffix)
    return None if found == "parquet" and stem != unpacked else found


def read_file(
    path: Path, shown: str, kind: str, wanted: Sequence[str], *, dialect: Dialect, records_at: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> FileRows:  # fmt: skip
    """The `wanted` columns of a file of format `kind`; `dialect` is for tsv, csv and the encoding of json.

    A dotted name is a nested field in json, jsonl and parquet, unless a column has just that name. Names are compared
    in Unicode's composed form (NFC). Raises `DataError` with file and line (or row) for whatever the bytes are.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{shown}: the file is empty (0 bytes).")
    if kind == "parquet":
        rows = read_parquet(path, shown, wanted, limits)
    else:
        check_packed(path, shown, limits)
        try:
            if kind in ("tsv", "csv"):
                rows = read_by_its_quoting(path, shown, dialect, wanted, limits)
            else:
                numbered = (
                    objects_of_lines(path, shown, dialect.encoding, limits)
                    if kind == "jsonl"
                    else _document(path, shown, dialect.encoding, records_at)
                )
                rows = _from_objects(numbered, shown, wanted, "line" if kind == "jsonl" else "row")
        except UnicodeError:
            raise DataError(broken_text(path, shown, dialect.encoding)) from None
        except RecursionError:
            raise DataError(f"{shown}: a value is nested too deeply to be a row.") from None
    return replace(rows, findings=(*rows.findings, *byte_order_marks(rows)))


def byte_order_marks(rows: FileRows) -> tuple[Finding, ...]:
    """A finding when texts hold U+FEFF, which is a byte order mark at the beginning of a file alone."""
    count = sum(
        pc.sum(pc.match_substring(pc.list_flatten(one) if pa.types.is_list(one.type) else one, "\ufeff")).as_py() or 0
        for one in rows.table.columns
    )  # fmt: skip
    if not count:
        return ()
    return (
        Finding(
            severity="warning", code="integrity.byte_order_mark", subject=rows.shown,
            message=f"{count:,} fields of {rows.shown} hold a byte order mark (U+FEFF), which was kept as text.",
            remedy="Files that were joined have one where the next file began: remove it and the repeated header.",
            numbers={"fields": count},
        ),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- json


def objects_of_lines(path: Path, shown: str, encoding: str, limits: Limits) -> Iterator[tuple[int, Any]]:
    """The values of a jsonl file, each with its line; raises DataError for a line that is no JSON."""
    empty = 0
    with open_text(path, encoding) as stream:
        for number, line in enumerate(lines_of(stream, shown, limits), 1):
            text = line.rstrip("\r\n")
            if "\r" in text:
                raise DataError(f"{shown}, line {number}: {BARE_CR}.")
            if text.strip():
                yield number, _parsed(text, f"{shown}, line {number}")
            else:
                empty += 1
                check_empty_lines(empty, shown)


def _document(path: Path, shown: str, encoding: str, records_at: str | None) -> Iterator[tuple[int, Any]]:
    with open_text(path, encoding) as stream:
        text = stream.read()
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise DataError(
            f"{shown}: a json document is read as a whole, and this one may hold more than {MOST_VALUES:,} values; "
            "write one object a line (jsonl)."
        )
    value = _parsed(text, shown)
    for part in records_at.split(".") if records_at else ():
        if not isinstance(value, dict) or part not in value:
            raise DataError(f"{shown}: `records_at` says {records_at!r}, but there is no {part!r} in the document.")
        value = value[part]
    if not isinstance(value, list):
        place = f"at {records_at!r}" if records_at else "the document"
        hint = f" It has: {', '.join(map(cut, list(value)[:10]))}; set `records_at`." if isinstance(value, dict) else ""
        raise DataError(f"{shown}: {place} is not a list of rows.{hint}")
    yield from enumerate(value, 1)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f", line {error.lineno}" if ", line " not in where else ""
        raise DataError(f"{where}{place}: not valid JSON: {error.msg} (column {error.colno}).") from None
    except _RepeatedName as error:
        raise DataError(f"{where}: an object names the field {cut(error.args[0])} more than once.") from None
    except ValueError:
        raise DataError(f"{where}: a whole number has more than {sys.get_int_max_str_digits():,} digits.") from None


class _RepeatedName(Exception):
    """Of a JSON object; its argument is the name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, its names in composed form; two equal names are refused, as either might be the one that is meant."""
    found = {composed(name): value for name, value in pairs}
    if len(found) != len(pairs):
        names = [composed(name) for name, _ in pairs]
        raise _RepeatedName(next(name for name in names if names.count(name) > 1))
    return found


def _from_objects(numbered: Iterable[tuple[int, Any]], shown: str, wanted: Sequence[str], unit: str) -> FileRows:
    """Columns from JSON objects: text as it is, numbers and booleans as they would be written in JSON."""
    positions: list[np.ndarray] = []
    not_text: dict[str, int] = {}

    def tables() -> Iterator[pa.Table]:
        for block in blocks_of_objects(numbered, shown, wanted, unit):
            positions.append(block.positions)
            for name, first in block.not_text.items():
                not_text.setdefault(name, first)
            yield block.table

    table = spilled(tables())
    return FileRows(shown, table, np.concatenate(positions), unit, not_text)


def blocks_of_objects(
    numbered: Iterable[tuple[int, Any]], shown: str, wanted: Sequence[str], unit: str
) -> Iterator[FileRows]:
    """The wanted columns of up to 65,536 JSON objects at a time; raises DataError where there is none."""
    block, some = _Objects(shown, wanted, unit), False
    for position, row in numbered:
        block.add(position, row)
        if len(block.positions) == BLOCK_ROWS:
            yield block.rows()
            block, some = _Objects(shown, wanted, unit), True
    if not some and not block.positions:
        raise DataError(f"{shown}: the file has no rows.")
    if block.positions:
        yield block.rows()


class _Objects:
    """The wanted fields of JSON objects."""

    def __init__(self, shown: str, wanted: Sequence[str], unit: str) -> None:
        self.shown, self.unit = shown, unit
        self.columns: dict[str, list[Any]] = {name: [] for name in wanted}
        self.positions: list[int] = []
        self.not_text: dict[str, int] = {}

    def add(self, position: int, row: Any) -> None:
        where = f"{self.shown}, {self.unit} {position}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: a row is an object with named fields, found {cut(row)}.")
        for name, values in self.columns.items():
            if isinstance(name, Several):
                values.append([self._as_text(value, name, position, where) for value in _several(row, name, where)])
            else:
                values.append(self._as_text(_nested(row, name, where), name, position, where))
        self.positions.append(position)

    def rows(self) -> FileRows:
        types = {
            name: pa.list_(pa.large_string()) if isinstance(name, Several) else pa.large_string()
            for name in self.columns
        }
        table = pa.table({name: pa.array(values, types[name]) for name, values in self.columns.items()})
        return FileRows(self.shown, table, np.asarray(self.positions, dtype=np.int64), self.unit, self.not_text)

    def _as_text(self, value: Any, name: str, position: int, where: str) -> str | None:
        if isinstance(value, str):
            if not is_text(value):
                raise DataError(
                    f"{where}: the field {name!r} holds half of a surrogate pair, which no tokenizer can read: "
                    f"{cut(value)}. Mend or remove the row."
                )
            return value
        if isinstance(value, bool | int | float):
            self.not_text.setdefault(name, position)
            return json.dumps(value)
        if value is None:
            return None
        kind = "a single value" if not isinstance(name, Several) else "a list of single values"
        raise DataError(f"{where}: the field {name!r} is not {kind}: {cut(value)}.")


def is_text(value: str) -> bool:
    """Whether it has a UTF-8 form: JSON may escape half of a surrogate pair (RFC 8259, section 8.2)."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _nested(row: dict[str, Any], name: str, where: str) -> Any:
    name = composed(name)
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise missing_column(where, name, _names(row))
        value = value[part]
    return value


def _several(row: dict[str, Any], name: Several, where: str) -> list[Any]:
    """The values of a list field and of the fields numbered after it."""
    above, _, last = (name.rpartition(".")) if composed(name) not in row else ("", "", name)
    holder = _nested(row, above, where) if above else row
    found = columns_for(Several(last), list(holder)) if isinstance(holder, dict) else []
    if not found:
        raise missing_column(where, name, _names(row))
    values = [holder[one] for one in found]
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _names(row: dict[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in row.items():
        names += _names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names
