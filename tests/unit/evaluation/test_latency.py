"""A busy machine does not decide how fast a model is. The clocks are the test's own: nothing here is timed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stsflow.tasks.evaluation.latency import BLOCKS, measure_latency


class Machine:
    """Each encoding takes `own` seconds of processor time and, on top by the clock, what others take meanwhile."""

    def __init__(self, own: float, others: Iterator[float], threads: int = 1) -> None:
        self.own, self.others, self.threads = own, others, threads
        self.clock = self.processor = 0.0

    def encode(self, _text: str) -> None:
        self.clock += self.own + next(self.others)
        self.processor += self.own * self.threads


def measured(machine: Machine, *, on_cpu: bool = True, texts: int = 16):  # type: ignore[no-untyped-def]
    found = measure_latency(
        machine.encode, ["text"] * texts, on_cpu=on_cpu, wall=lambda: machine.clock,
        processor=lambda: machine.processor,
    )  # fmt: skip
    assert found is not None
    return found


def disturbed(*blocks: float) -> Iterator[float]:
    yield 0.5  # the first call of all
    for seconds in blocks:
        yield from [seconds] * 16


def test_the_best_block_counts_and_the_worst_is_stated() -> None:
    found = measured(Machine(0.010, disturbed(0.0, 0.03, 0.02, 0.09, 0.01)))
    assert (found.milliseconds, found.wall_worst) == pytest.approx((10.0, 100.0))
    assert (found.blocks, found.texts) == (BLOCKS, 16)


def test_load_over_all_blocks_does_not_decide_on_a_cpu() -> None:
    found = measured(Machine(0.010, disturbed(*[0.05] * BLOCKS)))
    assert (found.milliseconds, found.wall_best, found.processor) == pytest.approx((10.0, 60.0, 10.0))


def test_several_threads_do_not_make_a_model_slower_than_the_clock_says() -> None:
    found = measured(Machine(0.010, disturbed(*[0.0] * BLOCKS), threads=4))
    assert (found.milliseconds, found.processor) == pytest.approx((10.0, 40.0))


def test_the_processor_says_nothing_where_a_gpu_works() -> None:
    found = measured(Machine(0.002, disturbed(*[0.008] * BLOCKS)), on_cpu=False)
    assert found.milliseconds == pytest.approx(10.0)


def test_a_slow_model_is_not_encoded_for_ever_and_no_texts_have_no_latency() -> None:
    assert measured(Machine(2.0, disturbed(*[0.0] * BLOCKS))).blocks == 1
    assert measure_latency(str, [], on_cpu=True) is None
