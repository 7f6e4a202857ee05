"""Rows as they were read: columns of text in Arrow, and for every row the file and line it came from."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.records.findings import Finding

# A whole text without one character that can be seen, in RE2: separators, controls, formats, and the fillers and
# selectors that Unicode calls ignorable by default.
INVISIBLE = r"^[\p{Z}\p{Cc}\p{Cf}\x{034F}\x{115F}\x{1160}\x{2800}\x{3164}\x{FE00}-\x{FE0F}\x{FFA0}]+$"


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
    not_text: Mapping[str, int] = field(default_factory=dict)
    """Columns that the file holds as numbers or booleans, and the first position with one."""
    findings: tuple[Finding, ...] = ()
    decimal: str = "."
    """The decimal mark of numbers that the file writes as text."""


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
        """The column as sentences: stripped, null made empty, and so is a text of invisible characters alone.

        Such are white space, control and format characters (a zero-width space, a byte order mark) and fillers. Raises
        `DataError`, with the line, when the file holds no text there.
        """
        for rows in self.files:
            if name in rows.not_text:
                raise DataError(
                    f"{rows.shown}, {rows.unit} {rows.not_text[name]}: the field {name!r} holds a number or a boolean, "
                    "but sentences are taken from it: write it as text, or take them from another field."
                )
        stripped = pc.fill_null(pc.utf8_trim_whitespace(self.column(name)), "")
        return pc.replace_substring_regex(stripped, INVISIBLE, "")

    def numbers(self, name: str) -> np.ndarray:
        """The column as float64, by each file's decimal mark; NaN for what is no finite number."""
        found = [
            _number(text, "." if name in rows.not_text else rows.decimal)
            for rows in self.files
            for text in pc.utf8_trim_whitespace(pc.fill_null(rows.table.column(name), "")).to_pylist()
        ]
        numbers = np.array(found, dtype=np.float64)
        numbers[~np.isfinite(numbers)] = np.nan
        return numbers

    def where(self, row: int) -> str:
        """The row's place, for a message: `sts-train.tsv, line 12`."""
        for rows in self.files:
            if row < rows.table.num_rows:
                return f"{rows.shown}, {rows.unit} {rows.positions[row]}"
            row -= rows.table.num_rows
        raise IndexError(row)


def _number(text: str, decimal: str) -> float:
    """The number, or NaN for what is none; `1_0`, which Python reads as 10, is none in a data file."""
    if decimal == ",":
        text = text.replace(".", "_").replace(",", ".")  # a point would group digits: say so rather than guess
    try:
        return float(text) if "_" not in text else float("nan")
    except ValueError:
        return float("nan")


def composed(name: str) -> str:
    """The name in Unicode's composed form: a header may be decomposed (as some systems write), the recipe composed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class MissingColumn(DataError):
    """A file does not have the column `name`."""

    name: str

    def with_remedy(self, remedy: str) -> MissingColumn:
        """The same, with another sentence on what says which columns are read."""
        other = MissingColumn(self.message.removesuffix(COLUMNS_ARE_NAMED) + remedy + ".")
        other.name = self.name
        return other


COLUMNS_ARE_NAMED = "The shape in the recipe says which columns to read."


def missing_column(shown: str, name: str, found: Sequence[str]) -> MissingColumn:
    """The error for a column that a file does not have."""
    near = difflib.get_close_matches(name, [one for one in found[:1000] if len(one) < 200], n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    error = MissingColumn(
        f"{shown}: there is no column {name!r}{hint}; found: {', '.join(map(cut, found[:20])) or 'none'}"
        f"{', …' if len(found) > 20 else ''}. {COLUMNS_ARE_NAMED}"
    )
    error.name = name
    return error


def and_more(count: int, what: str = "row") -> str:
    """` (and 3 more rows)`, or nothing."""
    return "" if count <= 0 else f" (and {count:,} more {what}{'s' if count > 1 else ''})"


def cut(value: object, length: int = 60) -> str:
    """The value in quotes, shortened, for a message."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}...'"
