"""Many parts at once: no alarm beyond the level, whatever their number, and one verdict by interval and p-value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stsflow.tasks.statistics.correlation import Floats
from stsflow.tasks.statistics.many import PartDifference, compare_parts
from stsflow.tasks.statistics.permutation import correlations_under_swaps, means_under_swaps


def compared(first: Floats, second: Floats, parts: dict[str, Floats], swaps: int = 400) -> dict[str, PartDifference]:
    chosen = {name: (rows, means_under_swaps(first[rows], second[rows])) for name, rows in parts.items()}
    return compare_parts(chosen, len(first), swaps, 0.95, seed=0)


def test_a_thousand_parts_of_equal_models_raise_no_alarm_beyond_the_level() -> None:
    families, alarms, naive = 20, 0, 0
    for family in range(families):
        generator = np.random.default_rng(family)
        # Twenty rows a part, and errors with long tails: where a bootstrap of each part goes wrong most.
        first, second = generator.standard_t(3, (2, 20_000))
        found = compared(first, second, {str(n): np.arange(20 * n, 20 * n + 20) for n in range(1000)}, swaps=150)
        alarms += any(part.difference + part.reach < 0 or part.difference - part.reach > 0 for part in found.values())
        naive += sum(abs(part.difference) > 1.96 * part.error for part in found.values())
    # One of 20 is expected at 5 %; five or more arise once in 400. Held one by one, every family alarms.
    assert alarms <= 4
    assert naive / families > 30


def test_an_interval_excludes_nothing_exactly_when_the_p_value_is_at_the_level() -> None:
    generator = np.random.default_rng(2)
    first = generator.normal(size=600)
    second = first + generator.normal(0.12, 0.5, 600)
    found = compared(first, second, {str(n): generator.choice(600, 90, replace=False) for n in range(40)})
    verdicts = {abs(part.difference) > part.reach for part in found.values()}
    assert verdicts == {True, False}  # else nothing is tried here
    for part in found.values():
        assert (abs(part.difference) > part.reach) == (part.p_value <= 0.05)


def test_one_part_alone_has_the_p_value_of_a_permutation_test() -> None:
    generator = np.random.default_rng(4)
    first, second = generator.normal([[0.0], [0.6]], 1.0, (2, 12))
    exact = stats.permutation_test(
        (first, second), lambda a, b, axis: (b - a).mean(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=np.inf,
    )  # fmt: skip
    found = compared(first, second, {"all": np.arange(12)}, swaps=2000)["all"]
    assert found.difference == pytest.approx((second - first).mean())
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.03)


def test_the_same_part_twice_costs_nothing() -> None:
    generator = np.random.default_rng(5)
    first, second = generator.normal(size=(2, 200))
    once = compared(first, second, {"a": np.arange(100)})
    twice = compared(first, second, {"a": np.arange(100), "b": np.arange(100)})
    assert once["a"] == twice["a"] == twice["b"]


def test_equal_models_are_told_apart_nowhere() -> None:
    same = np.linspace(0, 1, 50)
    found = compared(same, same, {"a": np.arange(25), "b": np.arange(25, 50)})
    assert all((part.difference, part.reach, part.p_value) == (0.0, 0.0, 1.0) for part in found.values())


def test_a_part_without_a_correlation_is_left_to_the_caller() -> None:
    assert correlations_under_swaps(np.ones(5), np.arange(5.0), np.arange(5.0), "spearman") is None
