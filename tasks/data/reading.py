"""Rows as they were read: columns of text in Arrow, and for every row the file and line it came from."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tasks.errors import DataError
from tasks.records import Finding


@dataclass(frozen=True)
class FileRows:
    """The wanted columns of one file."""

    shown: str
    """The file, for messages."""
    table: pa.Table
    """Columns of `large_string`; null where the file has nothing."""
    positions: np.ndarray
    """Of each row: its line (from 1, the header counts) or its number (from 1), int64."""
    unit: str
    """What `positions` counts: `line` or `row`."""
    not_text: frozenset[str] = frozenset()
    """Columns that the file holds as numbers or booleans."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Reading:
    """The wanted columns of a source, all files one after the other."""

    files: tuple[FileRows, ...]
    table: pa.Table = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", pa.concat_tables([rows.table for rows in self.files]))

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return int(self.table.num_rows)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found while reading."""
        return tuple(finding for rows in self.files for finding in rows.findings)

    def column(self, name: str) -> pa.ChunkedArray:
        """The column as text, one value a row."""
        return self.table.column(name)

    def texts(self, name: str) -> pa.ChunkedArray:
        """The column as sentences: stripped, null made empty. Raises `DataError` when the file holds no text there."""
        import pyarrow.compute as pc

        for rows in self.files:
            if name in rows.not_text:
                raise DataError(
                    f"{rows.shown}: the column {name!r} holds numbers, but the shape takes its sentences from it."
                )
        return pc.fill_null(pc.utf8_trim_whitespace(self.column(name)), "")

    def where(self, row: int) -> str:
        """The row's place, for a message: `sts-train.tsv, line 12`."""
        for rows in self.files:
            if row < rows.table.num_rows:
                return f"{rows.shown}, {rows.unit} {rows.positions[row]}"
            row -= rows.table.num_rows
        raise IndexError(row)


def missing_column(shown: str, name: str, found: Sequence[str]) -> DataError:
    """The error for a column that a file does not have."""
    near = difflib.get_close_matches(name, list(found), n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return DataError(
        f"{shown}: there is no column {name!r}{hint}; found: {', '.join(map(repr, found)) or 'none'}. "
        "The shape in the recipe says which columns to read."
    )


def and_more(count: int, what: str = "row") -> str:
    """` (and 3 more rows)`, or nothing."""
    return "" if count <= 0 else f" (and {count:,} more {what}{'s' if count > 1 else ''})"


def cut(value: object, length: int = 60) -> str:
    """The value in quotes, shortened, for a message."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}...'"
