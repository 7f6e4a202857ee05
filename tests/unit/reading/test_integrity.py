"""What quotes do to rows, case by case: certain damage is refused and explained, well-formed csv passes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.sources import Access, FilesSource


def read(path: Path, quoting: str) -> list[tuple[str, ...]]:
    source = FilesSource.model_validate({"paths": [path.name], "quoting": quoting})
    reading = source.read(source.fetch(Access(path.parent, path.parent)), ("a", "b"))
    return [tuple(row.values()) for row in reading.table.to_pylist()]


def tsv(folder: Path, *lines: str) -> Path:
    path = folder / "a.tsv"
    path.write_text("a\tb\n" + "".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "left", "whole", "first"),
    [
        (('"x\ty', "c\td", 'e"\tf'), 1, 1, 2),  # the quote of line 2 runs to line 4: two rows swallowed
        (("c\td", '"x\ty', 'e\tf"'), 2, 1, 3),  # joined, and a column short
        (("c\td", '"x" said\ty', "e\tf"), 3, 3, None),  # nothing lost, but the text is changed: not well-formed
        (("c\td", 'x\t"open to the end', "e\tf"), 2, 2, 3),
        (('"x"\t"y"', '"c\td"'), 2, 1, 3),  # the row count stays, a row is broken
    ],
)
def test_quotes_that_damage_rows_are_refused(
    tmp_path: Path, lines: tuple[str, ...], left: int, whole: int, first: int | None
) -> None:
    path = tsv(tmp_path, *lines)
    with path.open(encoding="utf-8", newline="") as stream:
        plain = list(csv.reader(stream, delimiter="\t"))[1:]
    assert (len(plain), sum(len(row) == 2 for row in plain)) == (left, whole)  # what the csv module makes of it
    with pytest.raises(DataError) as caught:
        read(path, "minimal")
    message = caught.value.message
    assert message.startswith(
        f"a.tsv: read with `quoting: minimal`, {len(lines)} lines of data become {left} rows, of which {whole} have "
        "the 2 fields of the header"
    )
    assert ("first in line" in message) == (first is not None)
    assert first is None or f"first in line {first}." in message
    assert message.endswith("set `quoting: none`.")
    assert read(path, "none") == [tuple(line.split("\t")) for line in lines]


def test_a_whole_csv_row_inside_quotes_is_refused_only_when_every_line_is_a_row(tmp_path: Path) -> None:
    swallowed = tsv(tmp_path, 'x\t"y', 'c\td"', "e\tf")
    with pytest.raises(DataError, match="first in line 2"):
        read(swallowed, "minimal")
    meant = tsv(tmp_path, 'x\t"y', 'one line more"', "e\tf")
    assert read(meant, "minimal") == [("x", "y\none line more"), ("e", "f")]


def test_quotes_that_are_not_well_formed_in_a_file_that_is_not_plain_either(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n"x, y",z\n"un" quoted,z\n', "utf-8")
    with pytest.raises(
        DataError, match=r"The quotes are not well-formed csv .*: mend the file, or set `quoting: none`"
    ):
        read(path, "minimal")


def test_what_the_csv_module_writes_is_read_back(tmp_path: Path) -> None:
    rows = [('"', '""'), ("tab\there", "line\nend"), ("plain", "'single'"), (" spaces ", '"quoted"')]
    path = tmp_path / "a.tsv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t").writerows([("a", "b"), *rows])
    assert read(path, "minimal") == rows
