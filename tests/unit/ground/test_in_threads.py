"""Items are worked on in threads, and come back in their order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stsflow.tasks.ground.in_threads import in_threads


def test_results_come_in_the_order_of_the_items_and_few_items_are_taken_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    for number, result in enumerate(in_threads(lambda one: one * one, items(), 4)):
        assert result == number * number and taken <= number + 5


def test_what_one_of_them_raises_is_raised_and_no_thread_stays() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda one: 1 // one, iter([2, 1, 0, 1]), 2))
    assert threading.active_count() == before
