"""Which weight is chosen from a curve."""

from __future__ import annotations

import math

import pytest

from stsflow.tasks.merging.choose import chosen_weight
from stsflow.tasks.records.merging import MergePoint
from stsflow.tasks.records.release import RuleOutcome


def curve(*points: tuple[float, float, bool]) -> list[MergePoint]:
    """Points of weight, score on dev, and whether the guard is kept."""
    return [
        MergePoint(
            weight=weight, model_digest="", scores={"dev": score},
            guards={"english": RuleOutcome(rule="guard", holds=kept, reason="")} if weight else {},
        )
        for weight, score, kept in points
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("points", "chosen"),
    [
        (((0.0, 0.7, True), (0.5, 0.8, True), (1.0, 0.9, False)), 0.5),  # the best one has lost the guard
        (((0.0, 0.7, True), (0.5, 0.8, True), (1.0, 0.9, True)), 1.0),
        (((0.0, 0.9, True), (0.5, 0.8, True), (1.0, 0.7, True)), 0.5),  # never the base model
        (((0.0, 0.7, True), (0.5, 0.8, True), (0.75, 0.8, True), (1.0, 0.7, True)), 0.75),  # of equals the largest
        (((0.0, 0.7, True), (0.5, 0.8, False), (1.0, 0.7, False)), 1.0),  # none keeps it: as it was trained
        (((0.0, 0.7, True), (0.5, 0.1, True), (1.0, math.nan, True)), 0.5),  # no score is worse than any
    ],
)
def test_the_best_on_dev_among_those_that_keep_every_guard(
    points: tuple[tuple[float, float, bool], ...], chosen: float
) -> None:
    assert chosen_weight(curve(*points), "dev", lambda score: score) == chosen


def test_where_less_is_better_the_least_is_chosen() -> None:
    points = curve((0.0, 0.1, True), (0.5, 0.2, True), (1.0, 0.3, True))
    assert chosen_weight(points, "dev", lambda score: -score) == 0.5
