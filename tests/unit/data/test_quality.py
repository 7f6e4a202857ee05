"""What is known of a suite's own rows: words alone, repeats, and what several ratings allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.within import repeats_within
from stsflow.tasks.records.quality import SuiteQuality
from stsflow.tasks.shapes import JudgedPairs, ScoredPairs
from stsflow.tasks.suites import Suite

ROWS = (
    ("the cat sits on the warm mat", "a cat is sitting on a warm mat", 4.0, "4", "4"),
    ("a dog runs over the green field", "a dog runs over a green field", 5.0, "5", "5"),
    ("he reads a book", "the train is late", 0.0, "0", "0"),
    ("a dog runs over a green field", "a dog runs over the green field", 5.0, "5", ""),
    ("The cat sits on the warm mat!", "a cat is sitting on a warm mat", 3.0, "2", "4"),
    ("she eats an apple", "an apple is eaten", 3.0, "3", "3"),
)


def quality_of(place: Path, rows: Any = ROWS, **shape: Any) -> SuiteQuality:
    lines = ["\t".join(map(str, row)) for row in (("sentence1", "sentence2", "score", "r1", "r2"), *rows)]
    (place / "rows.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    suite = {
        "kind": "sts", "source": {"kind": "files", "paths": ["rows.tsv"]}, "shape": {"kind": "scored_pairs", **shape},
    }  # fmt: skip
    suites = {"test": TypeAdapter(Suite).validate_python(suite)}
    (found,) = prepare_evaluation(suites, place, Workspace(place / "work")).evaluation
    assert found.quality is not None
    return found.quality


def overlap(first: str, second: str) -> float:
    a, b = ({text.lower()[i : i + 2] for i in range(len(text) - 1)} for text in (first, second))
    return len(a & b) / len(a | b)


def test_word_overlap_is_scored_in_the_place_of_a_model(tmp_path: Path) -> None:
    found = quality_of(tmp_path)
    expected = stats.spearmanr([overlap(row[0], row[1]) for row in ROWS], [row[2] for row in ROWS]).statistic
    assert found.metric == "spearman_cosine" and found.lexical == pytest.approx(expected)
    assert found.agreement is None


def test_rows_that_say_again_what_an_earlier_one_says_are_counted(tmp_path: Path) -> None:
    # Row 4 is row 2 the other way round; row 5 differs from row 1 in a capital and a mark; row 2's own sides differ.
    found = quality_of(tmp_path)
    assert (found.repeated, found.near) == (1, 2)


def test_sides_in_another_order_are_another_row_where_they_are_not_alike() -> None:
    rows = pa.table({"anchor": ["one text", "another text"], "positive": ["another text", "one text"]})
    assert repeats_within(rows, ("anchor", "positive"), symmetric=True) == (1, 1)
    assert repeats_within(rows, ("anchor", "positive"), symmetric=False) == (0, 0)


def test_ratings_give_the_ceiling(tmp_path: Path) -> None:
    found = quality_of(tmp_path, ratings=["r1", "r2"]).agreement
    both = [(float(row[3]), float(row[4])) for row in ROWS if row[4]]
    between = stats.spearmanr([a for a, _ in both], [b for _, b in both]).statistic
    assert found is not None and (found.raters, found.rows) == (2, 5)
    assert found.between_raters == pytest.approx(between)
    assert found.ceiling == pytest.approx((2 * between / (1 + between)) ** 0.5)


def test_a_rating_that_is_no_number_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = (*ROWS[:2], ("he reads", "a train", 0.0, "high", "1"))
    with pytest.raises(DataError, match=r"rows.tsv, line 4: the rating in r1 is .*high.*, which is not a number"):
        quality_of(tmp_path, rows, ratings=["r1", "r2"])


@pytest.mark.parametrize("ratings", [("r1",), ("r1", "r1"), ("score", "r1")])
def test_ratings_are_those_of_several_raters(ratings: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="two raters or more"):
        ScoredPairs(ratings=ratings)


def test_judged_pairs_have_no_ratings() -> None:
    with pytest.raises(ValidationError, match="judged pairs have none"):
        JudgedPairs(ratings=("r1", "r2"))
