"""Slices of a data set, on rows small enough to sort by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stsflow.tasks.evaluation.slices import lexical_overlap, script, slice_rows


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("ABC", "abc", 1.0),
        ("abcd", "abce", 0.5),
        ("", "", 1.0),
        ("a", "b", 0.0),
    ],
)
def test_overlap_is_the_share_of_common_bigrams(first: str, second: str, share: float) -> None:
    assert lexical_overlap(first, second) == share


def test_three_lengths_three_slices() -> None:
    rows = slice_rows([["aa", "a" * 20, "a" * 200], ["b"] * 3], np.array([0.0, 0.5, 1.0]))
    assert {name: found.tolist() for name, found in rows.items() if name.startswith("length")} == {
        "length:short": [0], "length:medium": [1], "length:long": [2],
    }  # fmt: skip


def test_score_bands_are_thirds_of_the_scale_with_the_border_below() -> None:
    gold = np.array([0.0, (5 / 3) / 5, 0.34, 2 / 3, 0.67, 1.0])
    rows = slice_rows([["a"] * 6, ["b"] * 6], gold)
    assert rows["score:low"].tolist() == [0, 1]
    assert rows["score:middle"].tolist() == [2, 3]
    assert rows["score:high"].tolist() == [4, 5]


def test_equal_rows_are_never_torn_apart_and_empty_slices_are_left_out() -> None:
    rows = slice_rows([["same"] * 9, ["text"] * 9], np.zeros(9))
    assert {name: len(found) for name, found in rows.items()} == {"length:short": 9, "score:low": 9, "overlap:low": 9}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("한국어 문장입니다.", "hangul"),
        ("An English sentence.", "latin"),
        ("Русский текст", "cyrillic"),
        ("漢字", "cjk"),
        ("영어 words 반반 here", "mixed"),
        ("12:30 — 45 %", "none"),
    ],
)
def test_the_script_is_that_of_nine_letters_in_ten(text: str, name: str) -> None:
    assert script(text) == name


def test_scripts_and_the_values_of_columns_are_slices_where_they_differ() -> None:
    texts = [["하나", "two", "셋", "four"], ["하나", "two", "셋", "four"]]
    rows = slice_rows(texts, labels={"genre": ["a", "b", "b", "a"], "same": ["x"] * 4})
    by_value = {name: found.tolist() for name, found in rows.items() if name.startswith(("script", "genre", "same"))}
    assert by_value == {
        "script:hangul": [0, 2], "script:latin": [1, 3], "genre:a": [0, 3], "genre:b": [1, 2],
    }  # fmt: skip
