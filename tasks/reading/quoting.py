"""`quoting: auto`: a delimited file that holds quotes is read both ways, and the reading with whole rows is taken.

A csv file is expected to follow RFC 4180 (a field may be wrapped in quotes), a tsv file to be plain text. Where the
other reading alone gives whole rows it is taken, and that is said. Where both do and give other rows, the file is
refused with one row shown both ways, except that in a csv file quotes around single fields are simply taken off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stsflow.tasks.ground.charset import MEBI, Limits, open_text
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.delimited import Dialect, Quoting, read_delimited
from stsflow.tasks.reading.rows import FileRows, cut
from stsflow.tasks.records.findings import Finding

WAYS: dict[Quoting, str] = {"minimal": "with quoted fields (RFC 4180)", "none": "as plain text, quotes and all"}


def read_by_its_quoting(path: Path, shown: str, dialect: Dialect, wanted: Sequence[str], limits: Limits) -> FileRows:
    """The `wanted` columns by the dialect's quoting, or by the one that fits; raises as `read_delimited` does."""
    if dialect.quoting != "auto":
        return read_delimited(path, shown, dialect, wanted, limits)
    if not holds_quotes(path, dialect.encoding):
        return read_delimited(path, shown, replace(dialect, quoting="none"), wanted, limits)
    expected, other = both_ways(dialect)
    faults: list[DataError] = []
    found: dict[Quoting, FileRows] = {}
    for way in (expected, other):
        try:
            found[way] = read_delimited(path, shown, replace(dialect, quoting=way), wanted, limits, may_join=True)
        except DataError as error:
            faults.append(error)
    if not found:
        raise faults[0]
    if len(found) == 2:
        return _of_two(found, expected, shown, wanted)
    way, rows = next(iter(found.items()))
    return (
        rows
        if way == expected
        else _said(rows, way, f"{WAYS[expected][0].upper()}{WAYS[expected][1:]} its rows are not whole.")
    )


def both_ways(dialect: Dialect) -> tuple[Quoting, Quoting]:
    """The way that is tried first, and the other."""
    return ("minimal", "none") if dialect.prefers_quotes else ("none", "minimal")


def holds_quotes(path: Path, encoding: str) -> bool:
    """Whether there is a quote in the file at all."""
    with open_text(path, encoding) as stream:
        return any('"' in block for block in iter(lambda: stream.read(MEBI), ""))


def _of_two(found: dict[Quoting, FileRows], expected: Quoting, shown: str, wanted: Sequence[str]) -> FileRows:
    plain, quoted = found["none"], found["minimal"]
    if plain.table.equals(quoted.table):
        return found[expected]
    differing = _first_difference(plain, quoted)
    if expected == "minimal" and plain.table.num_rows == quoted.table.num_rows:
        return _said(quoted, "minimal", f"Quotes around fields were taken off, first in line {differing}.")
    ways = "; ".join(f"{WAYS[way]} it is {_shown_row(found[way], differing, wanted)}" for way in WAYS)
    remedy = "Set `quoting` to `minimal` for the first or `none` for the second."
    if plain.table.num_rows != quoted.table.num_rows:
        remedy = (
            "The first joins lines each of which is a whole row by itself, which nobody could tell from damage: set "
            "`quoting: none` for the second, or write such fields without line ends."
        )
    raise DataError(
        f"{shown}, line {differing}: the file can be read in two ways that give other rows: {ways}. {remedy}"
    )


def _first_difference(plain: FileRows, quoted: FileRows) -> int:
    """Line of the first row that is not the same in both."""
    for row, (one, two) in enumerate(zip(_tuples(plain), _tuples(quoted), strict=False)):
        if one != two:
            return int(plain.positions[row])
    return int(plain.positions[min(plain.table.num_rows, quoted.table.num_rows) - 1])


def _tuples(rows: FileRows) -> Iterator[tuple[object, ...]]:
    for batch in rows.table.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _shown_row(rows: FileRows, line: int, wanted: Sequence[str]) -> str:
    at = max(0, int(rows.positions.searchsorted(line, side="right")) - 1)
    return ", ".join(f"{name} {cut(rows.table.column(name)[at].as_py(), 40)}" for name in dict.fromkeys(wanted))


def _said(rows: FileRows, way: Quoting, why: str) -> FileRows:
    finding = Finding(
        severity="info", code="integrity.quoting", subject=rows.shown,
        message=f"{rows.shown} was read {WAYS[way]}. {why}",
        remedy=f"Set `quoting: {way}` to say that it is meant.",
    )  # fmt: skip
    return replace(rows, findings=(*rows.findings, finding))
