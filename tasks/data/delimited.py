"""tsv and csv files into columns, checked line by line against what the bytes say."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa

from tasks.data.encoding import broken_text, open_text
from tasks.data.integrity import blank_lines, explain_quoting, quotes_kept
from tasks.data.reading import FileRows, and_more, cut, missing_column
from tasks.errors import DataError

BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str
    quoted: bool
    """Fields may be wrapped in double quotes and then hold delimiters and newlines (RFC 4180)."""
    header: bool
    columns: tuple[str, ...]
    """Names of the columns of a file without a header."""
    encoding: str


def read_delimited(path: Path, shown: str, dialect: Dialect, wanted: Sequence[str]) -> FileRows:
    """The `wanted` columns of the file. Every row has the width of the header and came from its own line or lines.

    Raises `DataError` naming file and line for a row of another width, a repeated or missing column name, bytes that
    are not text in the encoding, and quotes that swallow rows.
    """
    try:
        return _Reader(path, shown, dialect, wanted).read()
    except UnicodeDecodeError:
        raise DataError(broken_text(path, shown, dialect.encoding)) from None
    except LookupError:
        raise DataError(f"{shown}: there is no encoding {dialect.encoding!r}.") from None
    except (gzip.BadGzipFile, EOFError):
        raise DataError(f"{shown}: the file is not a whole gzip file.") from None


class _Reader:
    def __init__(self, path: Path, shown: str, dialect: Dialect, wanted: Sequence[str]) -> None:
        self.path, self.shown, self.dialect, self.wanted = path, shown, dialect, tuple(wanted)
        self.blanks = 0
        self.wrapped = 0
        self.quoted_rows = 0

    def read(self) -> FileRows:
        """The wanted columns as text, with the line of each row; raises DataError that names file and line."""
        with open_text(self.path, self.dialect.encoding) as stream:
            numbered = self._quoted(stream) if self.dialect.quoted else self._plain(stream)
            names, first_line = self._names(numbered)
            numbers = [names.index(name) for name in self.wanted]
            chunks: list[list[pa.Array]] = [[] for _ in self.wanted]
            lines: list[np.ndarray] = []
            while block := list(itertools.islice(numbered, BLOCK_ROWS)):
                self._check_width(block, len(names), first_line)
                positions, rows = zip(*block, strict=True)
                columns = list(zip(*rows, strict=True))
                for chunk, number in zip(chunks, numbers, strict=True):
                    chunk.append(pa.array(columns[number], pa.large_string()))
                lines.append(np.asarray(positions, dtype=np.int64))
                if not self.dialect.quoted:
                    self.wrapped += sum(
                        value.count('"') >= 2 and value[0] == value[-1] == '"'
                        for number in numbers
                        for value in columns[number]
                    )
        if self.dialect.quoted:
            self._check_quotes(len(names))
        if not lines:
            raise DataError(
                f"{self.shown}: the file has {'a header but no rows' if self.dialect.header else 'no rows'}."
            )
        table = pa.table(
            {name: pa.chunked_array(chunk, pa.large_string()) for name, chunk in zip(self.wanted, chunks, strict=True)}
        )
        findings = [blank_lines(self.shown, self.blanks)] if self.blanks else []
        if self.wrapped:
            findings.append(quotes_kept(self.shown, self.wrapped, table.num_rows * len(self.wanted)))
        return FileRows(self.shown, table, np.concatenate(lines), "line", findings=tuple(findings))

    def _plain(self, stream: TextIO) -> Iterator[tuple[int, list[str]]]:
        """(line, fields): every line is a row, quotes are ordinary characters."""
        delimiter = self.dialect.delimiter
        for number, line in enumerate(stream, 1):
            text = line.rstrip("\r\n")
            if text:
                yield number, text.split(delimiter)
            else:
                self.blanks += 1

    def _quoted(self, stream: TextIO) -> Iterator[tuple[int, list[str]]]:
        """(first line, fields) by the csv rules, strictly: a closing quote ends its field."""
        csv.field_size_limit(2**31 - 1)
        reader = csv.reader(stream, delimiter=self.dialect.delimiter, strict=True)
        before = 0
        try:
            for row in reader:
                if row:
                    self.quoted_rows += reader.line_num > before + 1
                    yield before + 1, row
                else:
                    self.blanks += 1
                before = reader.line_num
        except csv.Error:
            raise explain_quoting(self.path, self.shown, self.dialect.delimiter, self.dialect.encoding) from None

    def _names(self, numbered: Iterator[tuple[int, list[str]]]) -> tuple[list[str], int]:
        """The columns' names and the line that gave them."""
        if self.dialect.header:
            line, names = next(numbered, (0, []))
            if not names:
                raise DataError(f"{self.shown}: the file is empty.")
        else:
            line, names = 0, list(self.dialect.columns)
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"{self.shown}, line {line}: the header names the column {twice[0]!r} more than once.")
        for name in self.wanted:
            if name not in names:
                raise missing_column(self.shown, name, names)
        return names, line

    def _check_width(self, block: list[tuple[int, list[str]]], width: int, header_line: int) -> None:
        wrong = [(line, fields) for line, fields in block if len(fields) != width]
        if not wrong:
            return
        if self.dialect.quoted:
            raise explain_quoting(self.path, self.shown, self.dialect.delimiter, self.dialect.encoding)
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
            raise explain_quoting(self.path, self.shown, self.dialect.delimiter, self.dialect.encoding)


def all_lines_have(path: Path, dialect: Dialect, width: int) -> bool:
    """Whether every line of the file, split without regard to quotes, has `width` fields."""
    with open_text(path, dialect.encoding) as stream:
        return all(line.count(dialect.delimiter) == width - 1 for line in stream if line.strip("\r\n"))
