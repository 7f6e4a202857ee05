"""Intervals over seeds and rows: against the analysis of variance, against scipy's t tests, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.seed_coverage import coverage, worlds
from stsflow.tasks.statistics.bootstrap import bootstrap_means
from stsflow.tasks.statistics.seeds import Spread, expected_maximum, row_variance, seeds_needed


def test_the_rows_part_is_that_of_the_analysis_of_variance() -> None:
    generator, seeds, rows = np.random.default_rng(3), 4, 300
    scores = generator.normal(size=rows) + generator.normal(0.0, 0.7, (seeds, rows)) + generator.normal(size=(seeds, 1))
    values = np.stack(list(bootstrap_means({str(k): one for k, one in enumerate(scores)}, 20_000, 1).values()))
    # Mean squares of the crossed design: rows, and what is left when rows and seeds are taken out.
    left = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    of_rows = seeds * scores.mean(axis=0).var(ddof=1)
    of_both = (left**2).sum() / ((rows - 1) * (seeds - 1))
    found = row_variance(np.zeros((1, values.shape[1])), values)
    assert found == pytest.approx((of_rows - of_both) / (seeds * rows), rel=0.04)


def test_where_rows_are_sure_the_interval_is_welchs_and_students() -> None:
    first, second = [0.70, 0.74, 0.71], [0.78, 0.79, 0.75, 0.80, 0.77]
    two = Spread.of(first, second, 1000, 0.0)
    ends = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert two.difference + two.half_width(0.95) == pytest.approx(ends.high)
    assert two.difference - two.half_width(0.95) == pytest.approx(ends.low)
    one = Spread.of([0.7], second, 1000, 0.0)
    ends = stats.ttest_1samp(second, 0.7).confidence_interval(0.95)
    assert one.difference + one.half_width(0.95) == pytest.approx(ends.high - 0.7)


def test_where_seeds_agree_the_interval_is_that_of_the_rows() -> None:
    spread = Spread.of([0.7], [0.75, 0.75, 0.75], 1000, 0.01**2)
    assert spread.half_width(0.95) == pytest.approx(stats.t(999).ppf(0.975) * 0.01)


def test_three_seeds_that_happen_to_agree_are_not_taken_for_certain() -> None:
    """A seed's part that looks small beside the rows' has two degrees of freedom all the same."""
    spread = Spread.of([0.0], [0.005, 0.0, -0.005], 1000, 0.002**2)
    of_seeds = stats.t(2).ppf(0.975) * 0.005 / 3**0.5
    assert spread.half_width(0.95) == pytest.approx(of_seeds)
    # Satterthwaite's degrees of freedom alone would give less than what the seeds leave open by themselves.
    variances = 0.002**2, 0.005**2 / 3
    degrees = sum(variances) ** 2 / (variances[0] ** 2 / 999 + variances[1] ** 2 / 2)
    assert stats.t(degrees).ppf(0.975) * sum(variances) ** 0.5 < of_seeds


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("world", [0, 3, 5], ids=["no seed variance", "half of it", "nearly all"])
def test_ninety_five_in_a_hundred_intervals_hold_the_truth(seeds: int, world: int) -> None:
    found = coverage(worlds(seeds, rows=80)[world], seeds, "base", replicates=800, resamples=150, seed=5)
    # 800 replicates know a share of 95 % to 0.8 points.
    assert 0.925 < found["stsflow"] < 0.975
    if world == 5 and seeds == 3:
        assert found["plain bootstrap"] < 0.85 and found["rows alone"] < 0.2


def test_seeds_needed_is_where_simulated_power_reaches_four_in_five() -> None:
    """One recipe against a model, seeds of standard deviation 0.01 and rows that are sure: the power of a t test."""
    needed = seeds_needed(Spread.of([0.7], [0.71, 0.72, 0.73], 1000, 0.0), 0.01)
    assert needed is not None
    generator = np.random.default_rng(1)

    def power(seeds: int) -> float:
        drawn = generator.normal(0.01, 0.01, (20_000, seeds))
        return float((stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05).mean())

    assert power(needed) > 0.79 and power(needed - 1) < 0.80


def test_no_number_of_seeds_helps_where_the_rows_leave_too_much_open() -> None:
    assert seeds_needed(Spread.of([0.7], [0.71, 0.72, 0.70], 100, 0.02**2), 0.01) is None
    assert seeds_needed(Spread.of([0.7], [0.7, 0.7, 0.7], 100, 0.02**2), 0.0) is None


def test_the_best_of_several_equal_draws_is_that_of_the_tables() -> None:
    # Harter, Expected Values of Normal Order Statistics (1961).
    assert expected_maximum(5) == pytest.approx(1.16296, abs=2e-3)
    assert expected_maximum(2) == pytest.approx(0.56419, abs=2e-3)


def test_resamples_without_a_defined_score_are_passed_over() -> None:
    values = np.array([[0.1, np.nan, 0.3, 0.2]])
    assert row_variance(np.zeros((1, 4)), values) == pytest.approx(np.var([0.1, 0.3, 0.2]))
    assert np.isnan(row_variance(np.zeros((1, 4)), np.full((1, 4), np.nan)))
