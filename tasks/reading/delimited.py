"""tsv and csv files into columns, checked line by line against what the bytes say."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from stsflow.tasks.ground.charset import BARE_CR, Limits, check_empty_lines, lines_of, open_text, too_long
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.several import Several
from stsflow.tasks.reading.integrity import blank_lines, explain_quoting, quotes_kept
from stsflow.tasks.reading.rows import FileRows, and_more, columns_for, composed, cut, listed, missing_column
from stsflow.tasks.sets.spilled import spilled

BLOCK_ROWS = 65_536
Quoting = Literal["auto", "none", "minimal"]


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str
    quoting: Quoting = "none"
    """`minimal`: fields may be wrapped in double quotes and then hold delimiters and newlines (RFC 4180)."""
    prefers_quotes: bool = False
    """Which reading `auto` tries first."""
    header: bool = True
    columns: tuple[str, ...] = ()
    """Names of the columns of a file without a header."""
    encoding: str = "utf-8"
    decimal: str = "."
    """The decimal mark of numbers."""

    @property
    def quoted(self) -> bool:
        """Whether quotes wrap fields."""
        return self.quoting == "minimal"


def read_delimited(
    path: Path, shown: str, dialect: Dialect, wanted: Sequence[str], limits: Limits, *, may_join: bool = False
) -> FileRows:
    """The `wanted` columns of the file. Every row has the width of the header and came from its own line or lines.

    Raises `DataError` naming file and line for a row of another width, a repeated or missing column name, and quotes
    that swallow rows: several lines in one row, where each is a whole row by itself, are refused unless `may_join`.
    Bytes that are not text in the encoding are a UnicodeError.
    """
    return DelimitedReader(path, shown, dialect, wanted, limits, may_join=may_join).read()


class DelimitedReader:
    """One file; `blocks` gives its rows without ever holding all of them. Arguments and errors: `read_delimited`."""

    def __init__(
        self, path: Path, shown: str, dialect: Dialect, wanted: Sequence[str], limits: Limits, *, may_join: bool = False
    ) -> None:
        self.path, self.shown, self.dialect, self.wanted = path, shown, dialect, tuple(wanted)
        self.limits, self.may_join = limits, may_join
        self.blanks = 0
        self.wrapped = 0
        self.quoted_rows = 0

    def read(self) -> FileRows:
        """The wanted columns as text, with the line of each row; raises DataError that names file and line."""
        lines: list[np.ndarray] = []
        table = spilled(self._tables(lines))
        findings = [blank_lines(self.shown, self.blanks)] if self.blanks else []
        if self.wrapped:
            findings.append(quotes_kept(self.shown, self.wrapped, table.num_rows * len(self.wanted)))
        return FileRows(
            self.shown, table, np.concatenate(lines), "line", findings=tuple(findings), decimal=self.dialect.decimal
        )

    def _tables(self, lines: list[np.ndarray]) -> Iterator[pa.Table]:
        """The rows in blocks, whose lines are added to `lines`."""
        for table, positions in self.blocks():
            lines.append(positions)
            yield table

    def blocks(self) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """The wanted columns of up to 65,536 rows at a time, and the line of each; faults of the whole come last."""
        rows = 0
        with open_text(self.path, self.dialect.encoding) as stream:
            lines_in = lines_of(stream, self.shown, self.limits)
            numbered = self._quoted(lines_in) if self.dialect.quoted else self._plain(lines_in)
            names, first_line = self._names(numbered)
            places = [[names.index(one) for one in columns_for(name, names)] for name in self.wanted]
            numbers = [number for several in places for number in several]
            while block := list(itertools.islice(numbered, BLOCK_ROWS)):
                self._check_width(block, len(names), first_line)
                positions, fields = zip(*block, strict=True)
                columns = list(zip(*fields, strict=True))
                rows += len(block)
                if not self.dialect.quoted:
                    self.wrapped += sum(
                        value.count('"') >= 2 and value[0] == value[-1] == '"'
                        for number in numbers
                        for value in columns[number]
                    )
                read: dict[str, pa.Array] = {}
                for name, several in zip(self.wanted, places, strict=True):
                    values = [pa.array(columns[number], pa.large_string()) for number in several]
                    read[name] = listed(values) if isinstance(name, Several) else values[0]
                yield pa.table(read), np.asarray(positions, dtype=np.int64)
        if self.dialect.quoted and not self.may_join:
            self._check_quotes(len(names))
        if not rows:
            raise DataError(
                f"{self.shown}: the file has {'a header but no rows' if self.dialect.header else 'no rows'}."
            )

    def _plain(self, stream: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """(line, fields): every line is a row, quotes are ordinary characters."""
        delimiter = self.dialect.delimiter
        for number, line in enumerate(stream, 1):
            text = line.rstrip("\r\n")
            if number == 1 and "\r" in text:
                raise DataError(f"{self.shown}: {BARE_CR}.")
            if text:
                yield number, text.split(delimiter)
            else:
                self.blanks += 1
                check_empty_lines(self.blanks, self.shown)

    def _quoted(self, stream: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """(first line, fields) by the csv rules, strictly: a closing quote ends its field."""
        csv.field_size_limit(self.limits.line_characters)
        reader = csv.reader(stream, delimiter=self.dialect.delimiter, strict=True)
        before = 0
        try:
            for row in reader:
                if row:
                    self.quoted_rows += reader.line_num > before + 1
                    yield before + 1, row
                else:
                    self.blanks += 1
                    check_empty_lines(self.blanks, self.shown)
                before = reader.line_num
        except csv.Error as error:
            if "field limit" in str(error):
                raise too_long(self.shown, before + 1, self.limits) from None
            if "new-line character" in str(error):  # a carriage return in a field without quotes
                raise DataError(f"{self.shown}, line {before + 1}: {BARE_CR}.") from None
            raise self._explained() from None

    def _names(self, numbered: Iterator[tuple[int, list[str]]]) -> tuple[list[str], int]:
        """The columns' names and the line that gave them."""
        if self.dialect.header:
            line, names = next(numbered, (0, []))
            if not names:
                raise DataError(f"{self.shown}: the file is empty.")
        else:
            line, names = 0, list(self.dialect.columns)
        names = [composed(name) for name in names]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"{self.shown}, line {line}: the header names the column {cut(twice[0])} more than once.")
        for name in self.wanted:
            if not columns_for(name, names):
                raise missing_column(self.shown, name, names)
        return names, line

    def _check_width(self, block: list[tuple[int, list[str]]], width: int, header_line: int) -> None:
        wrong = [(line, fields) for line, fields in block if len(fields) != width]
        if not wrong:
            return
        if self.dialect.quoted:
            raise self._explained()
        line, fields = wrong[0]
        expected = f"the header in line {header_line}" if self.dialect.header else "`columns`"
        hint = ""
        if any('"' in field for field in fields):
            hint = " The line contains quotes: if fields are quoted on purpose, set `quoting: minimal`."
        raise DataError(
            f"{self.shown}, line {line}: {len(fields)} fields, but {expected} has {width}{and_more(len(wrong) - 1)}; "
            f"the line begins with {cut(self.dialect.delimiter.join(fields))}.{hint}"
        )

    def _check_quotes(self, width: int) -> None:
        """Refuse rows made of several lines each of which would be a whole row by itself."""
        if self.quoted_rows and width > 1 and all_lines_have(self.path, self.dialect, width):
            raise self._explained()

    def _explained(self) -> DataError:
        width = None if self.dialect.header else len(self.dialect.columns)
        return explain_quoting(self.path, self.shown, self.dialect.delimiter, self.dialect.encoding, width)


def all_lines_have(path: Path, dialect: Dialect, width: int) -> bool:
    """Whether every line of the file, split without regard to quotes, has `width` fields."""
    with open_text(path, dialect.encoding) as stream:
        return all(line.count(dialect.delimiter) == width - 1 for line in stream if line.strip("\r\n"))
