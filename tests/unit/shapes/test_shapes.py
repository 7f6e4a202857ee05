"""Triplets and scored pairs against an independent reading of the same rows, and rows that no shape takes."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.shapes import JudgedPairs, NliTriplets, Pairs, ScoredPairs, Shape, Triplets
from stsflow.tasks.shapes.shaped import Shaped
from stsflow.tasks.sources import Access, FilesSource
from stsflow.tasks.suites import RetrievalSuite

XNLI = ("KorNLI/xnli.dev.ko.tsv", "KorNLI/xnli.test.ko.tsv")


def shaped(root: Path, shape: Shape, *paths: str, allow_empty: bool = True) -> Shaped:
    source = FilesSource(paths=paths)
    reading = source.read(source.fetch(Access(root, root)), shape.reads)
    return shape.shape(reading, "the set", allow_empty)


def written(folder: Path, header: str, *lines: str) -> Path:
    (folder / "a.tsv").write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return folder


def refusal(folder: Path, shape: Shape, *, allow_empty: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        shaped(folder, shape, "a.tsv", allow_empty=allow_empty)
    return caught.value.message


# ------------------------------------------------------------------------------------------------------- triplets


def plain_triplets(paths: list[Path], seed: int) -> list[tuple[str, str, str]]:
    """The public multi-task recipe in a few lines of its own: every sentence with both kinds gives two triplets."""
    beside: dict[str, dict[str, list[str]]] = {}
    for path in paths:
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                one, other = row["sentence1"].strip(), row["sentence2"].strip()
                for sentence, there in ((one, other), (other, one)):
                    known = beside.setdefault(sentence, {"entailment": [], "neutral": [], "contradiction": []})
                    if there not in known[row["gold_label"]]:
                        known[row["gold_label"]].append(there)
    generator = random.Random(seed)
    triplets = []
    for sentence, known in beside.items():
        if known["entailment"] and known["contradiction"]:
            triplets.append((sentence, generator.choice(known["entailment"]), generator.choice(known["contradiction"])))
            triplets.append((generator.choice(known["entailment"]), sentence, generator.choice(known["contradiction"])))
    return triplets


@pytest.mark.realdata
@pytest.mark.parametrize(("files", "count"), [(XNLI[:1], 1660), (XNLI[1:], 3340), (XNLI, 4998)])
@pytest.mark.parametrize("seed", [42, 777])
def test_xnli_triplets_are_those_of_the_public_recipe(
    kornlu: Path, files: tuple[str, ...], count: int, seed: int
) -> None:
    made = shaped(kornlu, NliTriplets(seed=seed), *files)
    rows = list(zip(*(made.table.column(name).to_pylist() for name in NliTriplets.roles.columns), strict=True))
    assert len(rows) == count
    assert rows == plain_triplets([kornlu / name for name in files], seed)
    assert made.notes["sentences_with_both"] == count // 2


def test_triplets_by_hand(tmp_path: Path) -> None:
    folder = written(
        tmp_path, "sentence1\tsentence2\tgold_label",
        "p\te1\tentailment", "p\te1\tentailment", "p\tc1\t2", "x\tn\tneutral", " p \te2\t0", "\tempty\t0", "p\t\t1",
    )  # fmt: skip
    made = shaped(folder, NliTriplets(), "a.tsv")
    rows = made.table.to_pylist()
    assert [set(row) for row in rows] == [{"anchor", "positive", "negative"}] * 2
    assert rows[0]["anchor"] == rows[1]["positive"] == "p"
    assert {rows[0]["positive"], rows[1]["anchor"]} <= {"e1", "e2"}
    assert [row["negative"] for row in rows] == ["c1", "c1"]
    assert made.dropped == {"empty": 2}
    # p, e1, c1, x, n, e2; only p has both
    assert made.notes == {
        "sentences": 6, "sentences_with_both": 1,
        "sentences_without_entailment": 3, "sentences_without_contradiction": 4,
    }  # fmt: skip
    assert made.findings[0].numbers == {"entailment": 3, "neutral": 1, "contradiction": 1}


def test_labels_may_have_other_names(tmp_path: Path) -> None:
    folder = written(tmp_path, "a\tb\tc", "p\te\tja", "p\tc\tnein")
    shape = NliTriplets(premise="a", hypothesis="b", label="c", labels={"ja": "entailment", "nein": "contradiction"})
    made = shaped(folder, shape, "a.tsv")
    assert made.table.num_rows == 2
    assert [finding.code for finding in made.findings] == ["integrity.labels", "integrity.label_absent"]
    assert made.findings[1].message == "No row is labelled neutral."


def test_an_unknown_label_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, "sentence1\tsentence2\tgold_label", "a\tb\tneutral", "c\td\t-", "e\tf\tmaybe")
    assert refusal(folder, NliTriplets()) == (
        "a.tsv, line 3: the label of the set is '-' (and 1 more row); shape.labels knows: entailment, neutral, "
        "contradiction, 0, 1, 2. A label of unusable rows may be mapped to `skip`."
    )


@pytest.mark.parametrize(
    "labels",
    [{"-": "skip"}, {"-": "skip", "entailment": "entailment", "contradiction": "contradiction"}],
    ids=["beside the usual ones", "named in full"],
)
def test_rows_that_the_data_marks_as_unusable_are_skipped_by_choice_and_counted(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    lines = ("p\te\tentailment", "p\tx\t-", "\t\t-", "p\tc\tcontradiction")
    folder = written(tmp_path, "sentence1\tsentence2\tgold_label", *lines)
    made = shaped(folder, NliTriplets.model_validate({"labels": labels}), "a.tsv")
    assert made.table.to_pylist() == [
        {"anchor": "p", "positive": "e", "negative": "c"}, {"anchor": "e", "positive": "p", "negative": "c"},
    ]  # fmt: skip
    assert made.dropped == {"skipped_label": 2} and made.notes["sentences"] == 3
    assert made.findings[0].numbers == {"entailment": 1, "neutral": 0, "contradiction": 1}


# ---------------------------------------------------------------------------------------------------- judged pairs


def test_the_scale_of_relevance_alone_leaves_the_columns_of_retrieval() -> None:
    source = {"kind": "files", "paths": ["a.tsv"]}
    suite = RetrievalSuite.model_validate({"source": source, "shape": {"score_range": [0, 3]}})
    assert suite.shape.reads == ("query", "passage", "relevance") and suite.shape.score_range == (0, 3)
    named = RetrievalSuite.model_validate({"source": source, "shape": {"kind": "scored_pairs", "sentence1": "q"}})
    assert named.shape.reads == ("q", "passage", "relevance")


def test_questions_with_their_answers_need_no_column_of_relevance(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("Q\tA\nhow far?\tten miles\n\tnobody asks\nwhen?\ttomorrow\n", encoding="utf-8")
    shape = JudgedPairs(sentence1="Q", sentence2="A", score="", score_range=(0, 2))
    assert shape.reads == ("Q", "A")
    made = shaped(tmp_path, shape, "a.tsv")
    assert made.table.to_pydict() == {
        "sentence1": ["how far?", "", "when?"], "sentence2": ["ten miles", "nobody asks", "tomorrow"],
        "score": [1.0, 0.0, 1.0],
    }  # fmt: skip


def test_a_passage_without_a_query_stays_in_the_corpus(tmp_path: Path) -> None:
    lines = ("q\tone\t3", "\ttwo\t0", "\tthree\t", "q\t\t1", "\t\t")
    folder = written(tmp_path, "query\tpassage\trelevance", *lines)
    made = shaped(folder, JudgedPairs(score_range=(0, 3)), "a.tsv")
    assert [tuple(row.values()) for row in made.table.to_pylist()] == [
        ("q", "one", 1.0),
        ("", "two", 0.0),
        ("", "three", 0.0),
    ]
    assert (made.dropped, made.notes) == ({"empty": 2}, {"passages_without_query": 2})


def test_relevance_without_a_query_or_without_a_number_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, "query\tpassage\trelevance", "q\tone\t1", "\ttwo\t1", "\tthree\t1")
    assert refusal(folder, JudgedPairs()) == (
        "a.tsv, line 3: the passage is relevant (1) to an empty query (and 1 more row); without a query the relevance "
        "is 0 or left empty."
    )
    folder = written(tmp_path, "query\tpassage\trelevance", "q\tone\t")
    assert "line 2: the score of the set is '', which is not a number" in refusal(folder, JudgedPairs())


def test_judgements_of_relevance_1_alone_are_an_ordinary_file(tmp_path: Path) -> None:
    folder = written(tmp_path, "query\tpassage\trelevance", "q\tone\t1", "r\ttwo\t1")
    assert shaped(folder, JudgedPairs(), "a.tsv").findings == ()
    folder = written(tmp_path, "sentence1\tsentence2\tscore", "q\tone\t1", "r\ttwo\t1")
    found = shaped(folder, ScoredPairs(), "a.tsv").findings  # no scale can be told from one value
    assert [finding.severity for finding in found] == ["info"]


# --------------------------------------------------------------------------------------------------- scored pairs


@pytest.mark.realdata
@pytest.mark.parametrize(("split", "count"), [("train", 5749), ("dev", 1500), ("test", 1379)])
def test_korsts_rows_are_those_of_the_file(kornlu: Path, split: str, count: int) -> None:
    name = f"KorSTS/sts-{split}.tsv"
    made = shaped(kornlu, ScoredPairs(keep=("genre",)), name)
    with (kornlu / name).open(encoding="utf-8", newline="") as stream:
        plain = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    expected = [(r["sentence1"].strip(), r["sentence2"].strip(), float(r["score"]) / 5, r["genre"]) for r in plain]
    assert list(zip(*(column.to_pylist() for column in made.table.columns), strict=True)) == expected
    assert len(expected) == count and made.dropped == {}


def test_scores_are_brought_from_their_range_to_0_and_1(tmp_path: Path) -> None:
    folder = written(tmp_path, "sentence1\tsentence2\tscore", "a\tb\t-1", "a\tc\t 0 ", "a\td\t1e0")
    made = shaped(folder, ScoredPairs(score_range=(-1, 1)), "a.tsv")
    assert made.table.column("score").to_pylist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("score", "words"),
    [
        ("viel", "'viel', which is not a number (and 1 more row)."),
        ("", "'', which is not a number (and 1 more row)."),
        ("nan", "'nan', which is not a number (and 1 more row)."),
        ("NaN", "'NaN', which is not a number (and 1 more row)."),
        ("5.5", "5.5, outside of 0 to 5 (shape.score_range) (and 1 more row)."),
        ("-0.1", "-0.1, outside of 0 to 5 (shape.score_range) (and 1 more row)."),
        ("inf", "'inf', which is not a number (and 1 more row)."),
        ("1_0", "'1_0', which is not a number (and 1 more row)."),
    ],
)
def test_a_score_that_is_none_is_refused(tmp_path: Path, score: str, words: str) -> None:
    folder = written(tmp_path, "sentence1\tsentence2\tscore", "a\tb\t1", f"c\td\t{score}", f"e\tf\t{score}")
    assert refusal(folder, ScoredPairs()) == f"a.tsv, line 3: the score of the set is {words}"


def test_a_null_score_and_a_score_of_a_json_file(tmp_path: Path) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "score": 2.5}, {"sentence1": "a", "sentence2": "b", "score": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with pytest.raises(DataError, match=r"^a\.jsonl, line 2: the score of the set is '', which is not a number\.$"):
        shaped(tmp_path, ScoredPairs(), "a.jsonl")


def test_scores_that_use_little_of_their_range_are_a_warning(tmp_path: Path) -> None:
    folder = written(tmp_path, "sentence1\tsentence2\tscore", "a\tb\t0", "a\tc\t0.25", "a\td\t1")
    found = {finding.code: finding for finding in shaped(folder, ScoredPairs(), "a.tsv").findings}
    assert found["integrity.scores"].numbers == {"minimum": 0.0, "maximum": 1.0, "distinct": 3, "step": 0.25}
    assert found["integrity.score_range"].severity == "warning"


# ----------------------------------------------------------------------------------------------- texts of any shape


def test_ready_made_triplets_and_pairs_take_any_column_names(tmp_path: Path) -> None:
    folder = written(tmp_path, "q\tyes\tno", " a \tb\tc", "d\t \tf", "g\th\ti")
    made = shaped(folder, Triplets(anchor="q", positive="yes", negative="no"), "a.tsv")
    assert [tuple(row.values()) for row in made.table.to_pylist()] == [("a", "b", "c"), ("g", "h", "i")]
    assert made.dropped == {"empty": 1}
    assert shaped(folder, Pairs(anchor="yes", positive="q"), "a.tsv").table.column_names == ["anchor", "positive"]


@pytest.mark.parametrize("shape", [Triplets(), Pairs(), ScoredPairs(sentence1="anchor", sentence2="positive")])
def test_empty_sentences_are_refused_where_the_recipe_says_so(tmp_path: Path, shape: Shape) -> None:
    folder = written(tmp_path, "anchor\tpositive\tnegative\tscore", "a\tb\tc\t1", "d\t \tf\t2", "\tb\tc\t1")
    assert refusal(folder, shape, allow_empty=False) == (
        "a.tsv, line 3: the row has an empty sentence (and 1 more row), which the set refuses (allow_empty_fields: "
        "false)."
    )


def test_a_column_of_numbers_is_no_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"anchor": "a", "positive": 3}\n', "utf-8")
    with pytest.raises(DataError, match=r"^a\.jsonl, line 1: the field 'positive' holds a number or a boolean, but"):
        shaped(tmp_path, Pairs(), "a.jsonl")
