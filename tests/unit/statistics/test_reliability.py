"""How far noisy labels let a model get: by simulation with a known truth, and by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from stsflow.tasks.statistics.correlation import pearson, spearman
from stsflow.tasks.statistics.reliability import reliability


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
@pytest.mark.parametrize(("raters", "noise"), [(2, 1.0), (5, 1.0), (3, 0.4)])
def test_the_ceiling_is_what_the_truth_itself_reaches(
    correlation: Literal["pearson", "spearman"], raters: int, noise: float
) -> None:
    generator = np.random.default_rng(raters)
    truth = generator.normal(size=20_000)
    ratings = truth[:, None] + noise * generator.normal(size=(20_000, raters))
    found = reliability(ratings, correlation)
    assert found is not None and found.rows == 20_000
    reached = {"pearson": pearson, "spearman": spearman}[correlation](truth, ratings.mean(axis=1))
    # The formulas are exact for values and approximate for ranks.
    assert found.ceiling == pytest.approx(reached, abs=0.005 if correlation == "pearson" else 0.025)
    others = ratings[:, 1:].mean(axis=1)
    assert found.rater == pytest.approx(pearson(ratings[:, 0], others), abs=0.03)


def test_two_raters_by_hand() -> None:
    """Correlation 0.6 of two raters: the mean has the reliability 1.2 / 1.6 = 0.75."""
    first = np.array([-1.0, -1.0, 1.0, 1.0] * 5)
    second = 0.6 * first + 0.8 * np.array([-1.0, 1.0, -1.0, 1.0] * 5)
    found = reliability(np.stack([first, second], axis=1), "pearson")
    assert found is not None
    assert (found.between, found.of_mean) == (pytest.approx(0.6), pytest.approx(0.75))
    assert found.ceiling == pytest.approx(0.75**0.5) and found.rater == pytest.approx(0.6)


def test_rows_that_a_rater_left_out_count_with_the_ratings_that_they_have() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=30_000)
    ratings = truth[:, None] + generator.normal(size=(30_000, 4))
    ratings[:15_000, 2:] = np.nan  # half of the rows have two ratings, half have four: 1 / mean(1 / k) = 8 / 3
    found = reliability(ratings, "pearson")
    assert found is not None
    assert found.of_mean == pytest.approx((8 / 3 * 0.5) / (1 + 5 / 3 * 0.5), abs=0.01)


def test_ratings_that_say_nothing_have_no_ceiling() -> None:
    alone = np.full((10, 2), np.nan)
    alone[:, 0] = np.arange(10.0)
    assert reliability(alone, "spearman") is None
    against = np.stack([np.arange(10.0), -np.arange(10.0)], axis=1)
    found = reliability(against, "spearman")
    assert found is not None and found.ceiling == 0.0
