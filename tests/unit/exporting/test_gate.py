"""Which exports are released, by figures that were written by hand."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pytest

from stsflow.tasks.exporting.gate import why_not_released
from stsflow.tasks.exports import Limits, Onnx
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, Interval, SuiteScores
from stsflow.tasks.records.exports import ExportFigures, Speed

LIMITS = Limits(max_distance=0.1, mean_distance=0.01, metric_loss=0.02)


def figures(**found: object) -> ExportFigures:
    suite = SuiteScores(
        suite="test", kind="sts", title="Test", split="test", rows=9, data_digest="", model_digest="",
        primary="spearman_cosine", metrics={"spearman_cosine": 0.8},
    )  # fmt: skip
    scores = EvaluationReport(
        model="small", model_path=Path("small"), model_digest="", suites={"test": suite}, seconds=1.0
    )
    usual = {
        "texts": 100, "max_distance": 0.1, "mean_distance": 0.01, "batch_distance": 0.0, "scores": scores,
        "speed": (Speed(batch=1, milliseconds=4.0), Speed(batch=32, milliseconds=64.0)), "size_bytes": 1000,
        "seconds": 1.0,
    }  # fmt: skip
    return ExportFigures.model_validate(usual | found)


def difference(change: float, low: float | None = None, high: float | None = None) -> Difference:
    interval = None if low is None or high is None else Interval(low=low, high=high, confidence=0.95, resamples=100)
    return Difference(
        suite="test", metric="spearman_cosine", first="tuned", second="small", rows=9, difference=change,
        interval=interval, p_value=None, rows_needed=None,
    )  # fmt: skip


def test_an_export_at_its_limits_is_released() -> None:
    assert why_not_released(LIMITS, figures(), [difference(-0.01, -0.02, 0.03)]) == ()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"max_distance": 0.11}, "the largest cosine distance to the tuned model is 0.11 over 100 texts"),
        ({"mean_distance": 0.02}, "the mean cosine distance to the tuned model is 0.02"),
        ({"max_distance": nan}, "the largest cosine distance to the tuned model is nan"),
    ],
)
def test_a_distance_beyond_its_limit_is_named(found: dict[str, float], said: str) -> None:
    (reason,) = why_not_released(LIMITS, figures(**found), [])
    assert said in reason and "allowed is" in reason


def test_the_worse_end_of_the_interval_decides_and_not_the_difference() -> None:
    (reason,) = why_not_released(LIMITS, figures(), [difference(-0.01, -0.03, 0.01)])
    assert "spearman_cosine on test differs from the tuned model's by -0.0100" in reason
    assert "95% interval -0.0300 to +0.0100; allowed is a loss of 0.02" in reason


def test_without_an_interval_the_difference_decides() -> None:
    assert why_not_released(LIMITS, figures(), [difference(-0.02)]) == ()
    assert len(why_not_released(LIMITS, figures(), [difference(-0.021)])) == 1
    assert len(why_not_released(LIMITS, figures(), [difference(nan)])) == 1


def test_size_and_time_have_limits_where_the_recipe_states_them() -> None:
    stated = Limits(size_bytes=999, milliseconds=3.9).over(LIMITS)
    size, time = why_not_released(stated, figures(), [])
    assert "its files take 1,000 bytes; allowed are 999" in size and "4.0 ms" in time


def test_what_a_recipe_states_takes_the_place_of_the_usual_limit_alone() -> None:
    assert Onnx().limits_in_force == Onnx.usual
    own = Onnx(limits=Limits(metric_loss=0.5)).limits_in_force
    assert own.metric_loss == 0.5 and own.max_distance == Onnx.usual.max_distance
    assert Onnx(dimensions=8).limits_in_force.metric_loss == 0.03
    assert Onnx(dimensions=8, limits=Limits(metric_loss=0.01)).limits_in_force.metric_loss == 0.01


def test_texts_in_a_second_follow_from_the_time_of_a_batch() -> None:
    assert Speed(batch=32, milliseconds=64.0).texts_per_second == 500.0
