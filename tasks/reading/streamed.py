"""Texts of a file and columns that are kept beside them, a block of rows at a time: a file never lies in memory.

Which way a delimited file with quotes is read (`quoting: auto`) is found by reading it to its end first, so that it is
the same for every later reading.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stsflow.tasks.ground.charset import PACKED, Limits, broken_text, lines_of, open_text
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.delimited import BLOCK_ROWS, DelimitedReader, Dialect, Quoting
from stsflow.tasks.reading.formats import blocks_of_objects, format_of, objects_of_lines
from stsflow.tasks.reading.parquet import blocks_of_parquet
from stsflow.tasks.reading.quoting import WAYS, both_ways, holds_quotes
from stsflow.tasks.reading.rows import FileRows, Reading

STREAMED = ("csv", "tsv", "jsonl", "parquet", "txt")
"""Formats whose rows can be read without the whole file; a json document cannot."""
LIMITS = Limits(unpacked_bytes=2**62)
"""What lies in memory is a block: a line is bounded, a file is not."""
UNPACKING = (EOFError, OSError, zlib.error)
"""What a packed file that is damaged makes its reader raise."""
TEXT = "text"
"""The only column of a txt file, whose lines are its rows."""


class Block(NamedTuple):
    """Some rows of a file."""

    texts: pa.ChunkedArray
    """Large strings, stripped; empty where the file has no text."""
    kept: pa.Table
    """Of parquet in the file's own types, else text as the file has it."""


def streamed_format(name: str) -> str | None:
    """Format that a file name's ending says, among STREAMED; None for any other."""
    stem = name.lower()
    unpacked = next((stem.removesuffix(ending) for ending in PACKED if stem.endswith(ending)), stem)
    found = "txt" if unpacked.endswith(".txt") else format_of(name)
    return found if found in STREAMED else None


def stream(path: Path, shown: str, kind: str, text: str, keep: Sequence[str], dialect: Dialect) -> Iterator[Block]:
    """The column `text`, and the columns `keep`, of a file of format `kind`, in order; `dialect` says its quoting.

    Raises DataError with file and line (or row) for whatever the bytes are; some faults show at the file's end alone.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{shown}: the file is empty (0 bytes).")
    if kind == "parquet":
        for rows, kept in blocks_of_parquet(path, shown, text, keep):
            yield Block(Reading((rows,)).texts(text), kept)
        return
    try:
        for rows in _of_text(path, shown, kind, tuple(dict.fromkeys((text, *keep))), dialect):
            yield Block(Reading((rows,)).texts(text), rows.table.select(list(keep)))
    except UnicodeError:
        raise DataError(broken_text(path, shown, dialect.encoding)) from None
    except RecursionError:
        raise DataError(f"{shown}: a value is nested too deeply to be a row.") from None
    except UNPACKING as error:  # of the file's packing
        raise DataError(f"{shown}: the file cannot be read to its end ({error}).") from None


def quoting_of(path: Path, shown: str, wanted: Sequence[str], dialect: Dialect) -> Quoting:
    """How a delimited file is quoted where the dialect says `auto`: the way in which its rows are whole.

    Raises DataError as reading does, and where both ways give whole rows that are not the same, except that in a csv
    file quotes around fields are simply taken off.
    """
    try:
        if dialect.quoting != "auto":
            return dialect.quoting
        if not holds_quotes(path, dialect.encoding):
            return "none"
        expected, other = both_ways(dialect)
        found: dict[Quoting, tuple[int, str]] = {}
        faults: list[DataError] = []
        for way in (expected, other):
            reader = DelimitedReader(path, shown, replace(dialect, quoting=way), wanted, LIMITS, may_join=True)
            try:
                found[way] = _count_and_digest(table for table, _ in reader.blocks())
            except DataError as error:
                faults.append(error)
    except UnicodeError:
        raise DataError(broken_text(path, shown, dialect.encoding)) from None
    except UNPACKING as error:
        raise DataError(f"{shown}: the file cannot be read to its end ({error}).") from None
    if not found:
        raise faults[0]
    if len(found) == 1 or found[expected] == found[other]:
        return next(iter(found))
    (rows, _), (others, _) = found[expected], found[other]
    if expected == "minimal" and rows == others:
        return expected
    ways = "; ".join(f"{WAYS[way]} it has {found[way][0]:,} rows" for way in WAYS)
    raise DataError(
        f"{shown}: the file can be read in two ways that give other rows: {ways}. Set `quoting` to `minimal` for the "
        "first or `none` for the second."
    )


def _of_text(path: Path, shown: str, kind: str, wanted: Sequence[str], dialect: Dialect) -> Iterator[FileRows]:
    if kind in ("csv", "tsv"):
        for table, lines in DelimitedReader(path, shown, dialect, wanted, LIMITS).blocks():
            yield FileRows(shown, table, lines, "line", decimal=dialect.decimal)
    elif kind == "jsonl":
        numbered = objects_of_lines(path, shown, dialect.encoding, LIMITS)
        yield from blocks_of_objects(numbered, shown, wanted, "line")
    else:
        yield from _lines(path, shown, dialect.encoding)


def _lines(path: Path, shown: str, encoding: str) -> Iterator[FileRows]:
    """Every line is a row, an empty one too."""
    with open_text(path, encoding) as file:
        lines, first = lines_of(file, shown, LIMITS), 1
        while some := [line.rstrip("\r\n") for _, line in zip(range(BLOCK_ROWS), lines, strict=False)]:
            positions = np.arange(first, first + len(some), dtype=np.int64)
            yield FileRows(shown, pa.table({TEXT: pa.array(some, pa.large_string())}), positions, "line")
            first += len(some)


def _count_and_digest(tables: Iterable[pa.Table]) -> tuple[int, str]:
    """Rows of all tables, which hold text, and a SHA-256 of what is in them."""
    digest, rows = hashlib.sha256(), 0
    for table in tables:
        rows += table.num_rows
        for column in table.columns:
            for value in column.to_pylist():
                content = repr(value).encode()
                digest.update(len(content).to_bytes(8, "little") + content)
    return rows, digest.hexdigest()
