"""The card's own figures: they are pictures, of a legible size, and only drawn from what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stsflow.tasks.card.figures import draw_comparison, draw_training_curve, has_curve
from stsflow.tasks.records.training import LogRow


def is_drawn(path: Path) -> bool:
    """Whether the picture is at least 1,000 pixels wide and has more on it than its frame."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    return picture.width >= 1000 and float((pixels < 200).mean()) > 0.01


def test_figures_are_legible_pictures(records: Any, tmp_path: Path) -> None:
    content = records.content()
    assert is_drawn(draw_comparison(content.evaluation, tmp_path / "comparison.png"))
    assert is_drawn(draw_training_curve(content.training, tmp_path / "curve.png"))


def test_a_run_without_points_has_no_curve_and_no_picture_in_the_card(records: Any) -> None:
    from stsflow.tasks.card.render import render_card

    log = (LogRow(epoch=1.0, step=3, loss=0.5),)
    content = records.but(trained=records.trained.model_copy(update={"log": log})).content()
    assert not has_curve(content.training)
    assert "training-curve.png" not in render_card(content)
    empty = records.but(trained=records.trained.model_copy(update={"log": ()})).content()
    assert "The run was too short for a logged point." in render_card(empty)


def test_scores_without_intervals_are_drawn_too(records: Any, tmp_path: Path) -> None:
    reports = {}
    for name in ("base_scores", "tuned_scores"):
        report = getattr(records, name)
        suites = {key: scores.model_copy(update={"intervals": {}}) for key, scores in report.suites.items()}
        reports[name] = report.model_copy(update={"suites": suites})
    content = records.but(differences=(), **reports).content()
    assert is_drawn(draw_comparison(content.evaluation, tmp_path / "comparison.png"))
