"""`quoting: auto` takes the reading with whole rows and says so; delimiter and decimal mark belong to the source."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydantic import ValidationError

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.rows import Reading
from stsflow.tasks.shapes import ScoredPairs
from stsflow.tasks.sources import Access, FilesSource

COLUMNS = ("sentence1", "sentence2", "score")
QUOTED = [("one, and\tmore", 'said "yes"', "1"), ("c", "d", "2")]


def read(root: Path, name: str, text: str | None = None, **source: object) -> Reading:
    if text is not None:
        (root / name).write_text(text, "utf-8", newline="")
    files = FilesSource.model_validate({"paths": [name], **source})
    return files.read(files.fetch(Access(root, root / "downloads")), COLUMNS)


def rows(reading: Reading) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in reading.table.to_pylist()]


def said(reading: Reading) -> list[str]:
    return [finding.message for finding in reading.findings if finding.code == "integrity.quoting"]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
def test_quoted_fields_are_read_as_such_without_being_asked_for(tmp_path: Path, name: str, delimiter: str) -> None:
    with (tmp_path / name).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([COLUMNS, *QUOTED])
    reading = read(tmp_path, name)
    assert rows(reading) == QUOTED
    (*_, why) = said(reading) or [""]
    assert name == "a.csv" or why.startswith("a.tsv was read with quoted")


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t")])
def test_bare_quotes_are_read_as_text_without_being_asked_for(tmp_path: Path, name: str, mark: str) -> None:
    text = "\n".join(mark.join(row) for row in [COLUMNS, ('"Hi" he said', "b", "1"), ('a "c" "', '"d" e', "2")])
    reading = read(tmp_path, name, text)
    assert rows(reading) == [('"Hi" he said', "b", "1"), ('a "c" "', '"d" e', "2")]
    assert name == "a.tsv" or said(reading)[0].startswith("a.csv was read as plain text, quotes and all.")


def test_quotes_around_every_field_of_a_csv_file_are_taken_off(tmp_path: Path) -> None:
    """Ordinary csv: it would be whole as plain text too, with the quotes and the doubled quotes in the sentences."""
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([COLUMNS, ("a", 'said "yes"', "1"), ("c", "d", "2")])
    assert rows(read(tmp_path, "a.csv")) == [("a", 'said "yes"', "1"), ("c", "d", "2")]
    text = 'sentence1,sentence2,score\na,b,1\nc,"d",2\n'
    reading = read(tmp_path, "b.csv", text)
    assert rows(reading) == [("a", "b", "1"), ("c", "d", "2")]
    assert said(reading) == [
        "b.csv was read with quoted fields (RFC 4180). Quotes around fields were taken off, first in line 3."
    ]


def test_two_readings_with_whole_and_other_rows_are_refused_with_one_row_both_ways(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.tsv", 'sentence1\tsentence2\tscore\na\tb\t1\nc\t"d"\t2\n')
    assert caught.value.message == (
        "a.tsv, line 3: the file can be read in two ways that give other rows: with quoted fields (RFC 4180) it is "
        "sentence1 'c', sentence2 'd', score '2'; as plain text, quotes and all it is sentence1 'c', sentence2 "
        "'\"d\"', score '2'. Set `quoting` to `minimal` for the first or `none` for the second."
    )
    joined = 'sentence1,sentence2,score\na,b,1\n"c,d,2\ne",f,3\n'
    with pytest.raises(
        DataError, match=r"a\.csv, line 3: .*sentence1 'c,d,2\\ne', sentence2 'f'.*sentence1 '\"c', sen"
    ):
        read(tmp_path, "a.csv", joined)


def test_a_file_that_is_whole_in_neither_reading_is_refused_by_the_expected_one(tmp_path: Path) -> None:
    for name, mark, words in (("a.csv", ",", "`quoting: minimal`"), ("a.tsv", "\t", "line 2: 2 fields")):
        with pytest.raises(DataError) as caught:
            read(tmp_path, name, "\n".join(mark.join(row) for row in [COLUMNS, ('"a', "b"), ("c", "d", "2")]))
        assert words in caught.value.message


def test_a_file_without_quotes_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "sentence1,sentence2,score\na,b,1\n").findings == ()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("KorSTS/sts-train.tsv", 5749), ("KorSTS/sts-dev.tsv", 1500), ("KorSTS/sts-test.tsv", 1379),
        ("KorNLI/xnli.dev.ko.tsv", 2490), ("KorNLI/xnli.test.ko.tsv", 5010),
    ],
)  # fmt: skip
def test_the_real_files_are_read_as_plain_text_without_being_asked_for(kornlu: Path, name: str, count: int) -> None:
    wanted = ("sentence1", "sentence2", "score" if "STS" in name else "gold_label")
    found = {}
    for quoting in ("auto", "none"):
        source = FilesSource.model_validate({"paths": [name], "quoting": quoting})
        found[quoting] = source.read(source.fetch(Access(kornlu, kornlu)), wanted).table
    assert found["auto"].num_rows == count and found["auto"].equals(found["none"])


# ------------------------------------------------------------------------------ delimiter, decimal mark, positions


def test_delimiter_decimal_mark_and_positions_belong_to_the_source(tmp_path: Path) -> None:
    text = '"ja; nein";b;3,5\nc;d;4\n'
    options = {"delimiter": ";", "decimal": ",", "header": False, "columns": COLUMNS}
    reading = read(tmp_path, "a.csv", text, **options)
    assert reading.texts("sentence1").to_pylist() == ["ja; nein", "c"]
    shaped = ScoredPairs().shape(reading, "the set", True)
    assert shaped.table.column("score").to_pylist() == pytest.approx([0.7, 0.8])


@pytest.mark.parametrize("score", ["1.234,5", "3.5", "1,2,3", "3_5"])
def test_what_is_no_number_under_a_decimal_comma_is_refused(tmp_path: Path, score: str) -> None:
    reading = read(tmp_path, "a.csv", f"sentence1;sentence2;score\na;b;{score}\n", delimiter=";", decimal=",")
    with pytest.raises(DataError, match=r"a\.csv, line 2: .* which is not a number\.$"):
        ScoredPairs().shape(reading, "the set", True)


def test_a_decimal_comma_that_is_not_stated_is_pointed_out(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.tsv", "sentence1\tsentence2\tscore\na\tb\t3,5\n")
    with pytest.raises(
        DataError, match=r"is '3,5', which is not a number\. Where a comma is the decimal mark, set `dec"
    ):
        ScoredPairs().shape(reading, "the set", True)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ValidationError, match="a delimiter is one character"):
        FilesSource(paths=("a.csv",), delimiter=delimiter)
