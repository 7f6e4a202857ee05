"""Correlations against scipy and against small cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stsflow.tasks.statistics.correlation import midranks, pearson, spearman


def test_pearson_of_three_rows_worked_by_hand() -> None:
    # Deviations (-1, 0, 1) and (-1, 1, 0): products add up to 1, squares to 2 and 2.
    assert pearson([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 2)


def test_spearman_with_ties_worked_by_hand() -> None:
    # Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): covariance 4.5, squares 4.5 and 5, so r = 4.5 / sqrt(22.5).
    assert spearman([10, 20, 20, 90], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert midranks([3.0, 1.0, 3.0, 3.0]).tolist() == [3.0, 1.0, 3.0, 3.0]


@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(-1e6, 1e6, allow_subnormal=False)), min_size=3, max_size=60))
def test_agrees_with_scipy_on_any_rows(rows: list[tuple[int, float]]) -> None:
    x, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if (x == x[0]).all() or np.ptp(y) < 1e-9 * max(1.0, np.abs(y).max()):
        return
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_very_small_and_very_large_numbers_do_not_overflow(scale: float) -> None:
    assert pearson(np.array([1.0, 2.0, 3.0]) * scale, [1, 3, 2]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("first", "second"),
    [([0.1, 0.1, 0.1], [1, 2, 3]), ([1, 2, 3], [7, 7, 7]), ([1], [2]), ([], []), ([1, math.nan, 2], [1, 2, 3])],
    ids=["constant first", "constant second", "one row", "no rows", "a nan"],
)
def test_undefined_correlation_is_nan(first: list[float], second: list[float]) -> None:
    assert math.isnan(pearson(first, second))
    assert math.isnan(spearman(first, second))


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two columns of equal length; found shapes \(2,\) and \(3,\)"):
        pearson([1, 2], [1, 2, 3])
