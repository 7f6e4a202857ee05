"""N-tuples, taught rows, labelled pairs, parallel texts and texts alone: what comes out, and which rows are refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.shapes import LabelledPairs, NTuples, Parallel, Shape, Taught, Texts
from stsflow.tasks.shapes.shaped import Shaped
from stsflow.tasks.sources import Access, FilesSource

Row = dict[str, Any]


def shaped(folder: Path, shape: Shape, name: str, **source: Any) -> Shaped:
    files = FilesSource(paths=(name,), **source)
    return shape.shape(files.read(files.fetch(Access(folder, folder)), shape.reads), "the set", True)


def jsonl(folder: Path, *rows: Row) -> Path:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def refusal(folder: Path, shape: Shape, *rows: Row) -> str:
    with pytest.raises(DataError) as caught:
        shaped(jsonl(folder, *rows), shape, "a.jsonl")
    return caught.value.message


def tuples(made: Shaped) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in made.table.to_pylist()]


def row(*negatives: str | None, **more: Any) -> Row:
    return {"anchor": "a", "positive": "p", "negative": list(negatives), **more}


# ------------------------------------------------------------------------------------------------ lists and columns


def columns_of(rows: Sequence[Row]) -> list[Row]:
    """The same rows with a numbered column for each negative, missing ones empty."""
    width = max(len(one["negative"]) for one in rows)
    return [
        {"anchor": one["anchor"], "positive": one["positive"]}
        | {f"negative_{n + 1}": one["negative"][n] if n < len(one["negative"]) else "" for n in range(width)}
        for one in rows
    ]  # fmt: skip


ROWS = [
    {"anchor": "q1", "positive": " p1 ", "negative": ["n1", "n2", "n3"]},
    {"anchor": "q2", "positive": "p2", "negative": ["n4", " n5"]},
]


@pytest.mark.parametrize("form", ["list.jsonl", "list.parquet", "numbered.jsonl", "numbered.csv", "numbered.parquet"])
def test_a_list_field_and_numbered_columns_are_the_same_rows(tmp_path: Path, form: str) -> None:
    rows = columns_of(ROWS) if "numbered" in form else ROWS
    if form.endswith("jsonl"):
        (tmp_path / form).write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    elif form.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / form)
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        (tmp_path / form).write_text(text.getvalue(), "utf-8")
    made = shaped(tmp_path, NTuples(negatives=2, more="first"), form)
    assert made.table.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    assert tuples(made) == [("q1", "p1", "n1", "n2"), ("q2", "p2", "n4", "n5")]
    assert made.notes == {"more_negatives_than_taken": 1}


def test_numbered_columns_come_by_number_and_not_by_place(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("no_10\tno_2\tanchor\tpositive\tno_1\nten\ttwo\ta\tp\tone\n", "utf-8")
    assert tuples(shaped(tmp_path, NTuples(negative="no", negatives=3), "a.tsv")) == [("a", "p", "one", "two", "ten")]


def test_a_nested_list_is_reached_by_its_dotted_name(tmp_path: Path) -> None:
    nested = {"anchor": "a", "positive": "p", "hard": {"negatives": ["x", "y"]}}
    assert tuples(shaped(jsonl(tmp_path, nested), NTuples(negative="hard.negatives", negatives=2), "a.jsonl")) == [
        ("a", "p", "x", "y")
    ]
    pq.write_table(pa.Table.from_pylist([nested]), tmp_path / "a.parquet")
    assert tuples(shaped(tmp_path, NTuples(negative="hard.negatives", negatives=2), "a.parquet")) == [
        ("a", "p", "x", "y")
    ]


def test_what_is_no_list_of_texts_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, NTuples(), {"anchor": "a", "positive": "p"}) == (
        "a.jsonl, line 1: there is no column 'negative' and no negative_1 (did you mean 'positive'?); found: 'anchor', "
        "'positive'. The shape in the recipe says which columns to read."
    )
    assert refusal(tmp_path, NTuples(negatives=1), row("n"), row(["n"])) == (  # type: ignore[arg-type]
        "a.jsonl, line 2: the field 'negative' is not a list of single values: ['n']."
    )
    assert refusal(tmp_path, NTuples(negatives=1), row("n"), row(3)).startswith(  # type: ignore[arg-type]
        "a.jsonl, line 2: the field 'negative' holds a number or a boolean"
    )


# ------------------------------------------------------------------------------------------------------- n-tuples


def test_a_row_of_another_length_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, NTuples(negatives=2), row("n", "m"), row("n"), row("m", " ")) == (
        "a.jsonl, line 2: the row has 1 negative (and 1 more row), and the set takes 2 (shape.negatives). Set "
        "shape.fewer to `drop` or `repeat`, or take fewer."
    )
    assert refusal(tmp_path, NTuples(negatives=1), row("n"), row("n", "m")) == (
        "a.jsonl, line 2: the row has 2 negatives, and the set takes 1 (shape.negatives). Set shape.more to `first`, "
        "or take more."
    )


def test_rows_with_too_few_are_left_out_or_filled_up_and_counted(tmp_path: Path) -> None:
    folder = jsonl(tmp_path, row("n", "m", "o"), row("x", "y"), row())
    dropped = shaped(folder, NTuples(negatives=3, fewer="drop"), "a.jsonl")
    assert (tuples(dropped), dropped.dropped, dropped.notes) == (
        [("a", "p", "n", "m", "o")], {"too_few_negatives": 2}, {},
    )  # fmt: skip
    folder = jsonl(tmp_path, row("n", "m", "o"), row("x", "y"))
    repeated = shaped(folder, NTuples(negatives=3, fewer="repeat"), "a.jsonl")
    assert tuples(repeated)[1] == ("a", "p", "x", "y", "x")
    assert (repeated.dropped, repeated.notes) == ({}, {"negatives_repeated": 1})


def test_of_an_empty_list_nothing_can_be_repeated(tmp_path: Path) -> None:
    assert refusal(tmp_path, NTuples(negatives=2, fewer="repeat"), row("n"), row()) == (
        "a.jsonl, line 2: the row has no negative, and the set takes 2 (shape.negatives). There is none to repeat: "
        "remove the row."
    )


@pytest.mark.parametrize(("name", "text"), [("positive", "p"), ("anchor", "a")])
def test_a_negative_that_is_the_positive_or_the_anchor_is_refused(tmp_path: Path, name: str, text: str) -> None:
    assert refusal(tmp_path, NTuples(negatives=2), row("n", "m"), row("n", f" {text} ")) == (
        f"a.jsonl, line 2: a negative of the set is the row's {name}, '{text}'. Remove it from the negatives."
    )


def test_rows_without_a_positive_are_left_out_before_their_negatives_are_looked_at(tmp_path: Path) -> None:
    made = shaped(jsonl(tmp_path, row("n"), row(positive="")), NTuples(negatives=1), "a.jsonl")
    assert (len(tuples(made)), made.dropped) == (1, {"empty": 1})


# ---------------------------------------------------------------------------------------------------- taught rows


def test_scores_follow_the_texts_that_were_chosen(tmp_path: Path) -> None:
    folder = jsonl(tmp_path, row("n", "m", "o", score=[9, 3, 2, 1]), row("x", score=[8.5, "-4"]))
    made = shaped(folder, Taught(negatives=2, more="first", fewer="repeat"), "a.jsonl")
    assert made.table.column_names == ["anchor", "positive", "negative_1", "negative_2", "scores"]
    assert [one[2:] for one in tuples(made)] == [("n", "m", [9.0, 3.0, 2.0]), ("x", "x", [8.5, -4.0, -4.0])]
    assert Taught(negatives=2).roles.columns == tuple(made.table.column_names)


def test_a_margin_is_how_far_the_negative_lies_below_the_positive(tmp_path: Path) -> None:
    folder = jsonl(tmp_path, row("n", "m", score=[2.5, -1]), row("x", "y", score=[0, 4]))
    made = shaped(folder, Taught(negatives=2, scores_are="margins"), "a.jsonl")
    assert made.table["scores"].to_pylist() == [[0.0, -2.5, 1.0], [0.0, -0.0, -4.0]]


@pytest.mark.parametrize(
    ("score", "words"),
    [
        ([1], "the row of the set has 1 teacher score, and 2 belong to it: one for the positive and each negative."),
        (None, "the row of the set has no teacher scores, and 2 belong to it: one for the positive and each negative."),
        ([1, None], "the row of the set has 1 teacher score, and 2 belong to it: one for the positive and each "
                    "negative."),
        ([1, "high"], "a teacher score of the set is not a finite number."),
        ([1, float("inf")], "a teacher score of the set is not a finite number."),
    ],
)  # fmt: skip
def test_a_missing_or_unsound_teacher_score_is_refused_with_its_line(tmp_path: Path, score: Any, words: str) -> None:
    assert refusal(tmp_path, Taught(), row("n", score=[2, 1]), row("n", score=score)) == f"a.jsonl, line 2: {words}"


# -------------------------------------------------------------------------------------------------- labelled pairs


def test_labels_are_read_by_their_meaning_and_others_refused(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "a.tsv").write_text("sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t 0\n\te\t1\n", "utf-8")
    made = shaped(folder, LabelledPairs(), "a.tsv")
    assert (tuples(made), made.dropped) == ([("a", "b", 1), ("c", "d", 0)], {"empty": 1})
    assert made.table.schema.field("label").type == pa.int64()
    with pytest.raises(DataError, match=r"^a\.tsv, line 2: the label of the set is '1' \(and 1 more row\); shape\.lab"):
        shaped(folder, LabelledPairs(labels={"same": 1, "0": 0}), "a.tsv")
    named = LabelledPairs(labels={"1": "skip"})
    assert shaped(folder, named, "a.tsv").dropped == {"skipped_label": 2}


def test_label_two_is_refused_with_its_line(tmp_path: Path) -> None:
    pair = {"sentence1": "a", "sentence2": "b"}
    rows = [{**pair, "label": True}, {**pair, "label": 0}, {**pair, "label": 2}]
    assert refusal(tmp_path, LabelledPairs(), *rows) == (
        "a.jsonl, line 3: the label of the set is '2'; shape.labels knows: 0, 1, false, true. A label of unusable rows "
        "may be mapped to `skip`."
    )


def test_labels_of_one_value_are_a_warning(tmp_path: Path) -> None:
    made = shaped(jsonl(tmp_path, {"sentence1": "a", "sentence2": "b", "label": 1}), LabelledPairs(), "a.jsonl")
    assert {finding.code: finding.severity for finding in made.findings} == {
        "integrity.labels": "info", "integrity.label_absent": "warning",
    }  # fmt: skip


# --------------------------------------------------------------------------------------------- parallel, and texts


def test_each_translation_is_a_pair_and_a_row_without_any_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"source": "one", "ko": "하나", "others": ["ein", "un"]},
        {"source": "two", "ko": "", "others": []},
        {"source": "three", "ko": "셋", "others": [""]},
        {"source": " ", "ko": "넷", "others": ["vier"]},
    ]
    made = shaped(jsonl(tmp_path, *rows), Parallel(translations=("ko", "others")), "a.jsonl")
    assert tuples(made) == [("one", "하나"), ("one", "ein"), ("one", "un"), ("three", "셋")]
    assert made.dropped == {"empty": 2}


def test_texts_alone(tmp_path: Path) -> None:
    made = shaped(jsonl(tmp_path, {"t": " a "}, {"t": ""}), Texts(text="t"), "a.jsonl")
    assert (made.table.column_names, tuples(made), made.dropped) == (["text"], [("a",)], {"empty": 1})
