"""Slices and moved rows in the card: told, drawn, written out, and harmless whatever their texts are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from PIL import Image

from stsflow.tasks.card.render import figure_names, render_card, write_card
from stsflow.tasks.records.evaluation import MovedRow, MovedRows, SliceDifference, SliceDifferences

HOSTILE = "=HYPERLINK(1) | <script>alert(1)</script> ](x"


def with_slices(records: Any) -> Any:
    slices = SliceDifferences(
        items=(
            SliceDifference(name="genre:news", rows=400, difference=0.03, low=0.01, high=0.05, p_value=0.002),
            SliceDifference(name=f"genre:{HOSTILE}", rows=90, difference=-0.08, low=-0.12, high=-0.04, p_value=0.001),
            SliceDifference(name="length:long", rows=460, difference=-0.01, low=-0.05, high=0.03, p_value=0.9),
        ),
        confidence=0.95, too_small=2, fewest_rows=20,
    )  # fmt: skip
    differences = tuple(
        one.model_copy(update={"slices": slices}) if one.suite == "sts-test" else one for one in records.differences
    )
    row = MovedRow(row=1234, texts=(HOSTILE, "두 번째"), gold=0.6, before=-0.4, after=-0.1)
    moved = MovedRows(columns=("sentence1", "sentence2"), better=(row,) * 5, worse=())
    return records.but(differences=differences, moved={"sts-test": moved})


def test_the_card_has_a_line_for_each_slice_and_says_where_it_got_worse(records: Any) -> None:
    card = render_card(with_slices(records).content())
    assert "Of 3 slices the tuned model is shown to be worse on 1." in card
    assert "2 slices of fewer than 20 rows were not compared" in card
    assert "| 1 | genre:news | 400 | +0.0300 | +0.0100 to +0.0500 | 0.0020 | better |" in card
    (worse,) = [line for line in card.splitlines() if line.startswith("| 2 | genre:")]
    assert worse.endswith("| 90 | -0.0800 | -0.1200 to -0.0400 | 0.0010 | worse |") and "<script" not in worse
    assert "| 3 | length:long | 460 | -0.0100 | -0.0500 to +0.0300 | 0.9000 | not told apart |" in card


def test_the_rows_that_moved_stand_in_the_card_and_all_of_them_in_a_table(records: Any, tmp_path: Path) -> None:
    content = with_slices(records).content()
    card = render_card(content)
    assert card.count("| better | 1,234 |") == 3 and "<script" not in card
    assert {"slices-sts-test.png", "moved-sts-test.csv"} <= figure_names(content)
    write_card(content, tmp_path / "card", tmp_path / "model")
    with (tmp_path / "card/figures/moved-sts-test.csv").open(encoding="utf-8", newline="") as lines:
        table = list(csv.reader(lines))
    assert table[0] == ["moved", "row", "sentence1", "sentence2", "gold", "before", "after", "change"]
    assert len(table) == 6
    assert table[1] == ["better", "1234", f"'{HOSTILE}", "두 번째", "0.600000", "-0.400000", "-0.100000", "0.300000"]
    with Image.open(tmp_path / "card/figures/slices-sts-test.png") as picture:
        assert picture.width >= 1000


def test_without_slices_the_card_says_nothing_of_them(records: Any) -> None:
    content = records.content()
    assert "slices the tuned model" not in render_card(content)
    assert not [name for name in figure_names(content) if name.startswith(("slices-", "moved-"))]
