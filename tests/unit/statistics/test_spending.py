"""What each test takes of an error budget, and how far a gain must reach."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stsflow.tasks.statistics.spending import next_part, reach


def parts(level: float, planned: int, tests: int) -> list[float]:
    found: list[float] = []
    for _ in range(tests):
        found.append(next_part(level, planned, sum(found)))
    return found


def test_planned_tests_take_even_parts_and_later_ones_a_quarter_of_what_is_left() -> None:
    found = parts(0.05, 52, 52)
    assert found[:49] == pytest.approx([0.05 / 52] * 49)  # after 48 of them 4/52 are left, of which a quarter is 1/52
    assert found[49:] == pytest.approx([0.05 * 3 / 208, 0.05 * 9 / 832, 0.05 * 27 / 3328])


@pytest.mark.parametrize("planned", [1, 5, 52, 1000])
def test_however_many_tests_there_are_they_take_less_than_the_level_and_each_something(planned: int) -> None:
    found = parts(0.05, planned, 60 if planned < 1000 else 1100)
    assert sum(found) < 0.05 and min(found) > 0


def test_what_is_overdrawn_leaves_nothing() -> None:
    assert next_part(0.05, 52, 0.05) == next_part(0.05, 52, 0.075) == 0.0
    assert math.isinf(reach(0.0, 100))


@pytest.mark.parametrize(
    ("level", "degrees", "printed"), [(0.025, 10, 2.228), (0.001, 30, 3.385), (0.0005, 120, 3.373)]
)
def test_without_a_skew_it_is_the_quantile_of_students_t_as_tables_print_it(
    level: float, degrees: int, printed: float
) -> None:
    assert reach(level, degrees) == pytest.approx(printed, abs=6e-4)
    assert reach(level, degrees, 0.4) == reach(level, degrees)  # a skew to the right gives nothing away


@pytest.mark.parametrize("skewness", [-0.05, -0.2, -0.6])
def test_with_a_skew_to_the_left_halls_transformation_of_it_is_the_quantile(skewness: float) -> None:
    found = reach(0.001, 200, skewness)
    assert found > reach(0.001, 200)
    transformed = found + skewness * (2 * found**2 + 1) / 6 + skewness**2 * found**3 / 27
    assert transformed == pytest.approx(reach(0.001, 200))


def test_many_skewnesses_at_once_are_each_of_them() -> None:
    skewness = np.array([-0.3, 0.0, 0.3])
    assert reach(0.01, 50, skewness) == pytest.approx([reach(0.01, 50, float(one)) for one in skewness])
