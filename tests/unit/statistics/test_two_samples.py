"""Tests of two samples: their numbers against plain formulas, their level by simulation, what several hold together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from stsflow.tasks.statistics.two_samples import TwoSamples, holm, ks_test, mmd_test, ratio_test, shares_test

Floats = NDArray[np.float64]


def test_the_distance_of_vectors_is_the_unbiased_estimator() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(7, 3)), generator.normal(0.7, 1, size=(9, 3))
    rows = np.concatenate([a, b])
    apart = [float(((x - y) ** 2).sum()) for i, x in enumerate(rows) for y in rows[i + 1 :]]
    median = float(np.median(apart))

    def alike(x: Floats, y: Floats) -> float:
        return float(np.exp(-((x - y) ** 2).sum() / median))

    expected = (
        sum(alike(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / (7 * 6)
        + sum(alike(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / (9 * 8)
        - 2 * sum(alike(x, y) for x in a for y in b) / (7 * 9)
    )
    assert mmd_test(a, b, 99, seed=0).statistic == pytest.approx(expected, abs=1e-6)


def test_the_distance_of_numbers_is_scipys_and_so_is_its_p_value() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=40), generator.normal(0.5, 1, size=50)
    ours, theirs = ks_test(a, b, 19_999, seed=0), stats.ks_2samp(a, b, method="exact")
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.01)
    tied = ks_test(np.round(a), np.round(b), 99, seed=0)
    assert tied.statistic == pytest.approx(stats.ks_2samp(np.round(a), np.round(b)).statistic)


def test_the_distances_of_shares_and_ratios_by_hand() -> None:
    first, second = np.array([[1, 0], [1, 0], [0.5, 0.5]]), np.array([[0, 1], [0, 1], [0, 0]])
    assert shares_test(first, second, 99, 0).statistic == pytest.approx((2.5 / 3 + (2 / 3 - 0.5 / 3)) / 2)
    assert ratio_test(([1, 3], [10, 10]), ([0, 1], [5, 5]), 99, 0).statistic == pytest.approx(0.2 - 0.1)


def test_equal_samples_are_never_apart() -> None:
    same = np.ones((20, 4))
    for found in (
        mmd_test(same, same, 99, 0),
        ks_test(np.ones(20), np.ones(20), 99, 0),
        shares_test(same, same, 99, 0),
    ):
        assert found.p_value == 1.0


def of_vectors(generator: np.random.Generator, shift: float) -> TwoSamples:
    a, b = generator.normal(size=(30, 4)), generator.normal(shift, 1, size=(30, 4))
    return mmd_test(a, b, 99, int(generator.integers(1 << 30)))


def of_counts(generator: np.random.Generator, shift: float) -> TwoSamples:
    a, b = generator.poisson(5, 30), generator.poisson(5 + 4 * shift, 30)
    return ks_test(a, b, 99, int(generator.integers(1 << 30)))


def of_shares(generator: np.random.Generator, shift: float) -> TwoSamples:
    a, b = generator.random(30) < 0.3, generator.random(30) < 0.3 + shift / 2
    shares = [np.stack([part, ~part], axis=1).astype(float) for part in (a, b)]
    return shares_test(shares[0], shares[1], 99, int(generator.integers(1 << 30)))


def of_ratios(generator: np.random.Generator, shift: float) -> TwoSamples:
    tokens = [generator.poisson(12, 30) + 1 for _ in range(2)]
    a, b = generator.binomial(tokens[0], 0.1), generator.binomial(tokens[1], 0.1 + shift / 6)
    return ratio_test((a, tokens[0]), (b, tokens[1]), 99, int(generator.integers(1 << 30)))


TESTS = (of_vectors, of_counts, of_shares, of_ratios)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_a_test_raises_a_false_alarm_no_more_often_than_its_level(
    test: Callable[[np.random.Generator, float], TwoSamples],
) -> None:
    """1,000 draws at the level 0.05; more alarms than the 99.9 % point of the binomial would be too many."""
    generator = np.random.default_rng(11)
    alarms = sum(test(generator, 0.0).p_value <= 0.05 for _ in range(1000))
    assert alarms <= stats.binom.ppf(0.999, 1000, 0.05)
    assert alarms >= 5  # and it is a test, which rejects sometimes


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_a_test_sees_what_is_apart(test: Callable[[np.random.Generator, float], TwoSamples]) -> None:
    generator = np.random.default_rng(12)
    assert sum(test(generator, 1.0).p_value <= 0.05 for _ in range(20)) >= 18


def test_holm_on_its_textbook_example() -> None:
    """0.01 x 4, 0.013 x 3 raised to the one before, 0.014 x 2, 0.19: the adjusted values of Holm's procedure."""
    adjusted = holm({"a": 0.01, "d": 0.19, "b": 0.013, "c": 0.014})
    assert list(adjusted) == ["a", "d", "b", "c"]
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.04, "c": 0.04, "d": 0.19})
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
