"""Who is next: everybody in turn, and nobody twice before the others had theirs."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from stsflow.tasks.serving.line import Line, Work
from stsflow.tasks.serving.refusal import RequestRefused

NO_MODEL = cast("Any", None)


def work(*lengths: int) -> Work:
    return Work(NO_MODEL, "", tuple("x" * length for length in lengths), list(lengths), lambda _: None)


def test_a_large_request_leaves_every_batch_room_for_small_ones() -> None:
    line = Line(10_000, batch_tokens=100)
    large, small = work(*[10] * 50), [work(10) for _ in range(5)]
    line.join(large)
    first = line.take()
    assert [one.work for one in first] == [large] * 10
    for one in small:
        line.join(one)
    second = line.take()
    assert {id(one.work) for one in second} == {id(one) for one in (large, *small)} and len(second) == 10
    assert sum(one.work is large for one in second) == 5


def test_a_stream_of_small_requests_does_not_hold_up_a_large_one() -> None:
    """Before each batch as many small ones come as fit into it."""
    line = Line(10_000, batch_tokens=40)
    large = work(*[10] * 6)
    line.join(large)
    for _ in range(20):
        for _ in range(4):
            line.join(work(10))
        line.take()
    assert not large.order


def test_each_text_is_taken_once_longest_first() -> None:
    line = Line(100, batch_tokens=8)
    one = work(3, 9, 1, 5)
    line.join(one)
    line.close()
    taken = []
    while batch := line.take():
        assert sum(item.length for item in batch) <= 8 or len(batch) == 1
        taken += [item.number for item in batch]
    assert taken == [1, 3, 0, 2]
    assert line.texts == 0


def test_too_many_that_wait_are_refused_but_never_the_first() -> None:
    line = Line(3, batch_tokens=8)
    line.join(work(1, 1, 1, 1, 1))
    with pytest.raises(RequestRefused, match="5 texts wait to be embedded") as refused:
        line.join(work(1))
    assert refused.value.status == 429 and refused.value.headers == {"Retry-After": "1"}
    line.take()
    line.join(work(1, 1, 1))
    assert line.texts == 3


def test_what_nobody_waits_for_any_more_is_not_taken() -> None:
    line = Line(100, batch_tokens=2)
    gone, here = work(1, 1, 1), work(1)
    line.join(gone)
    line.join(here)
    line.take()
    gone.abandoned = True
    here_too = work(1)
    line.join(here_too)
    line.close()
    assert [one.work for one in line.take()] == [here_too]
    assert line.take() == [] and line.texts == 0


def test_the_thread_of_the_model_waits_for_work_and_for_the_end() -> None:
    line, taken = Line(100, batch_tokens=8), []

    def take() -> None:
        while batch := line.take():
            taken.append(len(batch))

    thread = threading.Thread(target=take)
    thread.start()
    line.join(work(1, 1))
    line.join(work(1))
    line.close()
    thread.join(30)
    assert not thread.is_alive() and sum(taken) == 3
