"""What the card says of a model that was merged with its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from stsflow.tasks.card.facts import facts_in
from stsflow.tasks.card.render import figure_names, render_card, write_card
from stsflow.tasks.records.merging import Merge, MergedSeed, MergePoint
from stsflow.tasks.records.release import RuleOutcome


def merged(records: Any, chosen: float, *, kept: bool = True) -> Any:
    """The same run, merged: of the two shares below 1 only the first can have kept the guard."""
    lost = RuleOutcome(rule="guard", holds=False, reason="")
    points = tuple(
        MergePoint(
            weight=weight, model_digest=f"{round(100 * weight):02}" * 32,
            scores={"sts-dev": 0.7 + weight / 10, "sts-test": 0.625 - weight / 8},
            guards={} if not weight else {"sts-test": lost.model_copy(update={"holds": kept and weight == 0.25})},
        )
        for weight in (0.0, 0.25, 0.5, 1.0)
    )  # fmt: skip
    values = records.recipe.model_dump(mode="json")
    values["evaluation"] |= {"guard": {"sts-test": {}}, "report_on": "sts-test"}
    merge = Merge(
        suite="sts-dev", metrics={"sts-dev": "spearman_cosine", "sts-test": "spearman_cosine"}, points=points,
        chosen=chosen,
    )  # fmt: skip
    trained = records.trained.model_copy(update={"merge": merge})
    return records.but(recipe=type(records.recipe).model_validate(values), trained=trained)


def test_the_curve_stands_in_a_table_with_the_chosen_share_in_bold(records: Any, tmp_path: Path) -> None:
    content = merged(records, 0.25).content()
    card = render_card(content)
    assert (
        "Each of the released weights is 25 % of the tuned model's and the rest of its base model's. Of the shares "
        "that keep every guard, this one has the highest spearman_cosine on KorSTS development."
    ) in card
    lines = card.split("\n")
    start = lines.index("| 0 % | 0.7000 | 0.6250 | – |")
    assert lines[start + 1 : start + 4] == [
        "| **25 %** | **0.7250** | **0.5938** | yes |", "| 50 % | 0.7500 | 0.5625 | no |",
        "| 100 % | 0.8000 | 0.5000 | no |",
    ]  # fmt: skip
    assert facts_in(content)["merge.50.sts-test"].value == 0.5625
    assert "merge-curve.png" in figure_names(content)
    written = write_card(content, tmp_path / "card", tmp_path / "model")
    (curve,) = [figure for figure in written.figures if figure.name == "merge-curve.png"]
    with Image.open(curve) as picture:
        assert picture.size[0] > 500


def test_where_no_share_keeps_the_guard_the_card_says_that_nothing_was_merged(records: Any) -> None:
    card = render_card(merged(records, 1.0, kept=False).content())
    told = "100 % of the tuned model's: no share of it keeps every guard, so that it stays as it was trained."
    assert told in card


def test_trainings_that_were_averaged_stand_each_with_its_score(records: Any) -> None:
    plain = merged(records, 1.0)
    assert "mean of trainings" not in render_card(plain.content())
    seeds = tuple(
        MergedSeed(
            seed=seed, model_digest=str(seed) * 64, scores={"sts-dev": 0.75 + seed / 100, "sts-test": 0.5},
            train_seconds=90.0,
        )
        for seed in (1, 2)
    )  # fmt: skip
    merge = plain.trained.merge.model_copy(update={"seeds": seeds})
    content = plain.but(trained=plain.trained.model_copy(update={"merge": merge})).content()
    lines = render_card(content).splitlines()
    start = lines.index("| 1 | 0.7600 | 0.5000 | 1 min 30 s |")
    assert lines[start + 1] == "| 2 | 0.7700 | 0.5000 | 1 min 30 s |"
    assert facts_in(content)["merge.seed-2.sts-dev"].value == 0.77


def test_without_merging_there_is_no_such_section(records: Any) -> None:
    content = records.content()
    assert content.merge is None and "Merged Weights" not in render_card(content)
    assert "merge-curve.png" not in figure_names(content)
