from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stsflow.tasks.batching.plain import RandomBatches, TokenBudgetBatches


def test_rows_are_cut_into_batches_with_a_short_last_one() -> None:
    batches = RandomBatches(10, 4, seed=1).epoch(0)
    assert batches.sizes.tolist() == [4, 4, 2]
    assert sorted(batches.rows.tolist()) == list(range(10))


def test_a_dropped_last_batch_is_counted() -> None:
    batches = RandomBatches(10, 4, drop_last=True).epoch(0)
    assert (len(batches), batches.left_out) == (2, 2)


@settings(max_examples=200, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 300), max_size=80),
    budget=st.integers(1, 400),
    batch_size=st.integers(1, 10),
    seed=st.integers(0, 3),
)
def test_token_budget_uses_every_row_once_within_its_limits(
    tokens: list[int], budget: int, batch_size: int, seed: int
) -> None:
    sampler = TokenBudgetBatches(np.array(tokens, dtype=np.int64), budget, batch_size, seed=seed)
    for epoch in range(2):
        batches = sampler.epoch(epoch)
        assert len(batches) == sampler.batches
        assert sorted(batches.rows.tolist()) == list(range(len(tokens)))
        for batch in batches:
            assert 1 <= len(batch) <= batch_size
            held = [tokens[row] for row in batch.tolist()]
            assert sum(held) <= budget + max(held)


def test_token_budget_fills_batches_of_equal_rows_exactly() -> None:
    sampler = TokenBudgetBatches(np.full(100, 10), batch_tokens=50, batch_size=64)
    assert sampler.epoch(0).sizes.tolist() == [5] * 20
