"""Rows as they were read: columns of text in Arrow, and for every row the file and line it came from."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.several import Several
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.sets.spilled import spilled_column

# A whole text without one character that can be seen, in RE2: separators, controls, formats, and the fillers and
# selectors that Unicode calls ignorable by default.
INVISIBLE = r"^[\p{Z}\p{Cc}\p{Cf}\x{034F}\x{115F}\x{1160}\x{2800}\x{3164}\x{FE00}-\x{FE0F}\x{FFA0}]+$"


@dataclass(frozen=True)
class FileRows:
    """The wanted columns of one file."""

    shown: str
    """The file, for messages."""
    table: pa.Table
    """Columns of `large_string`, null where the file has nothing; of `Several`, lists of it."""
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
        self._check_text(name)
        return spilled_column(self.column(name), _sentences)

    def lists_of_texts(self, name: str) -> Lists:
        """The column, which was asked for as `Several`, as lists of sentences; raises as `texts` does."""
        self._check_text(name)
        parents, values = _flat(self.column(name))
        texts = _sentences(values)
        there = pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
        return Lists(np.bincount(parents[there], minlength=self.rows), texts.filter(there).cast(pa.string()))

    def lists_of_numbers(self, name: str) -> Lists:
        """The column, which was asked for as `Several`, as lists of float64; NaN as in `numbers`."""
        counts, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.float64)]
        for rows in self.files:
            parents, values = _flat(rows.table.column(name))
            texts = pc.utf8_trim_whitespace(pc.fill_null(values, ""))
            there = pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
            counts.append(np.bincount(parents[there], minlength=rows.table.num_rows))
            numbers.append(_finite(texts.filter(there).to_pylist(), "." if name in rows.not_text else rows.decimal))
        return Lists(np.concatenate(counts), pa.array(np.concatenate(numbers)))

    def values(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Every value of the column that is not empty, stripped; and of each the number of its row."""
        column = self.column(name)
        parents, flat = _flat(column) if pa.types.is_list(column.type) else (np.arange(self.rows), column)
        texts = _sentences(flat)
        there = pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
        return parents[there], texts.filter(there).to_pylist()

    def _check_text(self, name: str) -> None:
        for rows in self.files:
            if name in rows.not_text:
                raise DataError(
                    f"{rows.shown}, {rows.unit} {rows.not_text[name]}: the field {name!r} holds a number or a boolean, "
                    "but sentences are taken from it: write it as text, or take them from another field."
                )

    def numbers(self, name: str) -> np.ndarray:
        """The column as float64, by each file's decimal mark; NaN for what is no finite number."""
        found = [
            _finite(
                pc.utf8_trim_whitespace(pc.fill_null(chunk, "")).to_pylist(),
                "." if name in rows.not_text else rows.decimal,
            )
            for rows in self.files
            for chunk in rows.table.column(name).chunks
        ]
        return np.concatenate([np.zeros(0, np.float64), *found])

    def where(self, row: int) -> str:
        """The row's place, for a message: `sts-train.tsv, line 12`."""
        for rows in self.files:
            if row < rows.table.num_rows:
                return f"{rows.shown}, {rows.unit} {rows.positions[row]}"
            row -= rows.table.num_rows
        raise IndexError(row)


@dataclass(frozen=True)
class Lists:
    """Of each row several values; what is empty among them is left out."""

    counts: np.ndarray
    """Of each row, how many it has, int64."""
    values: pa.Array
    """The values of the first row, then those of the second, …"""

    @property
    def starts(self) -> np.ndarray:
        """Of each row, where its values begin."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)[:-1]])[: len(self.counts)]


def _flat(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Of each value of a column of lists, the number of its row; and the values."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    values = [chunk.flatten() for chunk in column.chunks] or [pa.array([], pa.large_string())]
    return np.repeat(np.arange(len(column)), lengths), pa.concat_arrays(values)


def _sentences(column: pa.Array | pa.ChunkedArray) -> Any:
    stripped = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    return pc.replace_substring_regex(stripped, INVISIBLE, "")


def _finite(texts: Sequence[str], decimal: str) -> np.ndarray:
    """Float64; NaN for what is no finite number."""
    numbers = np.array([_number(text, decimal) for text in texts], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


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


def columns_for(name: str, found: Sequence[str]) -> list[str]:
    """The columns among `found` that `name` stands for: one; of `Several` also `<name>_1`, `<name>_2`, … by number."""
    wanted = composed(name)
    names = [one for one in found if composed(one) == wanted]
    if isinstance(name, Several):
        numbered = {one: composed(one).removeprefix(f"{wanted}_") for one in found}
        numbers = {one: int(rest) for one, rest in numbered.items() if rest.isdecimal() and composed(one) != rest}
        names += sorted(numbers, key=lambda one: numbers[one])
    return names


def listed(columns: Sequence[pa.Array]) -> pa.Array:
    """Of each row the list of its values in the columns, which are of equal length."""
    rows, width = len(columns[0]), len(columns)
    values = pa.concat_arrays(columns).take(pa.array(np.arange(width * rows).reshape(width, rows).T.ravel()))
    return pa.ListArray.from_arrays(pa.array(np.arange(0, width * rows + 1, width), pa.int32()), values)


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
    numbered = f" and no {name}_1" if isinstance(name, Several) else ""
    error = MissingColumn(
        f"{shown}: there is no column {name!r}{numbered}{hint}; found: {', '.join(map(cut, found[:20])) or 'none'}"
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
