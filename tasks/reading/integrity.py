"""What the bytes say against what was read. Certain damage is a `DataError`; what may be meant is a `Finding`.

Reading a file of plain tab-separated text with the csv module's default quoting is the classic way to lose rows: a
quote at the beginning of a field opens a quoted field, which then runs over tabs and line ends up to the next quote.
Nothing fails, and some of the rows are gone.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from stsflow.tasks.ground.charset import open_text
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.records.findings import Finding


def explain_quoting(path: Path, shown: str, delimiter: str, encoding: str, columns: int | None = None) -> DataError:
    """The error for a file that `quoting: minimal` damages: what was lost, where first, and what to set.

    `columns` is the width of a file without a header. The file is read twice, line by line.
    """
    header = columns is None
    with open_text(path, encoding) as stream:
        widths = Counter(line.count(delimiter) + 1 for line in stream if line.strip("\r\n"))
    width = next(iter(widths), 0) if columns is None else columns
    plain, data_lines = set(widths) == {width}, widths.total() - header
    rows, right, first, wide = _by_the_csv_module(path, delimiter, encoding, columns)
    found = (
        f"{shown}: read with `quoting: minimal`, {data_lines:,} lines of data become {rows:,} rows, of which {right:,} "
        f"have the {wide} fields of {'the header' if header else '`columns`'}"
    )
    where = f"; quotes inside the text join fields or lines, first in line {first}" if first else ""
    if plain:
        lost = data_lines - right
        damage = f"{lost:,} rows would be lost or damaged" if lost else "quotes that belong to the text would be lost"
        return DataError(
            f"{found}: {damage}{where}. Read as plain text every line has {width} fields: set `quoting: none`."
        )
    return DataError(
        f"{found}{where}. The quotes are not well-formed csv (a quoted field ends with a quote and a delimiter, and a "
        "quote inside it is doubled): mend the file, or set `quoting: none` if it is not quoted."
    )


def _by_the_csv_module(
    path: Path, delimiter: str, encoding: str, columns: int | None
) -> tuple[int, int, int | None, int]:
    """Under the csv module's forgiving rules: rows, rows of the right width, the first wrong line, the width."""
    rows = right = before = 0
    first: int | None = None
    width = columns
    with open_text(path, encoding) as stream:
        reader = csv.reader((line.rstrip("\r\n") + "\n" for line in stream), delimiter=delimiter)
        try:
            for fields in reader:
                if fields and width is None:
                    width = len(fields)
                elif fields:
                    rows += 1
                    right += len(fields) == width
                    if first is None and (len(fields) != width or reader.line_num > before + 1):
                        first = before + 1
                before = reader.line_num
        except csv.Error:  # a field beyond the limit, a carriage return: nothing after it is read
            first = first or before + 1
    return rows, right, first, width or 0


def blank_lines(shown: str, count: int) -> Finding:
    """Lines without any content were passed over."""
    return Finding(
        severity="info", code="integrity.blank_lines", subject=shown,
        message=f"{count:,} empty lines hold no row and were passed over.", numbers={"lines": count},
    )  # fmt: skip


def quotes_kept(shown: str, fields: int, of: int) -> Finding:
    """Fields that are wrapped in quotes were read with `quoting: none`, so the quotes are part of the text."""
    share = fields / of
    return Finding(
        severity="warning" if share > 0.5 else "info", code="integrity.quotes_kept", subject=shown,
        message=f"{fields:,} of {of:,} fields of {shown} are wrapped in quotes, which were kept as part of the text.",
        remedy="If the file was written with quoted fields, set `quoting: minimal`." if share > 0.5 else "",
        numbers={"fields": fields, "of": of},
    )  # fmt: skip


def check_rows(subject: str, rows: int, expected: int | None) -> None:
    """Raise `DataError` when the source does not have the number of raw rows that the recipe expects."""
    if expected is not None and rows != expected:
        raise DataError(
            f"{subject}: the source has {rows:,} rows, `expect_rows` says {expected:,} ({rows - expected:+,}). "
            "The data is not what the recipe was written for, or it is read the wrong way."
        )
