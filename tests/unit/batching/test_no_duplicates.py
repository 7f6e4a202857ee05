"""The condition is checked row by row against the texts themselves, never against the sampler's own bookkeeping."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stsflow.tasks.batching.epoch import EpochBatches
from stsflow.tasks.batching.no_duplicates import NoDuplicateBatches
from stsflow.tasks.batching.plain import RandomBatches, TokenBudgetBatches
from stsflow.tasks.sets.texts import text_numbers


def repeated_texts(batches: EpochBatches, texts: np.ndarray) -> list[tuple[int, int]]:
    """(batch, text) wherever two rows of a batch share a text."""
    found = []
    for number, batch in enumerate(batches):
        held: set[int] = set()
        for row in batch.tolist():
            found += [(number, text) for text in set(texts[row].tolist()) & held]
            held |= set(texts[row].tolist())
    return found


@st.composite
def text_tables(draw: st.DrawFn) -> np.ndarray:
    rows, columns = draw(st.integers(1, 60)), draw(st.integers(1, 3))
    kinds = draw(st.sampled_from([2, 5, 20, 200]))
    cells = draw(st.lists(st.integers(0, kinds), min_size=rows * columns, max_size=rows * columns))
    return np.array(cells).reshape(rows, columns)


@settings(max_examples=150, deadline=None)
@given(texts=text_tables(), batch_size=st.integers(1, 9), drop_last=st.booleans(), seed=st.integers(0, 5))
def test_no_two_rows_of_a_batch_share_a_text(texts: np.ndarray, batch_size: int, drop_last: bool, seed: int) -> None:
    sampler = NoDuplicateBatches(texts, RandomBatches(len(texts), batch_size, drop_last=drop_last), seed=seed)
    for epoch in range(2):
        batches = sampler.epoch(epoch)
        assert repeated_texts(batches, texts) == []
        assert (
            len(batches)
            == sampler.batches
            == len(texts) // batch_size + (not drop_last and len(texts) % batch_size > 0)
        )
        assert len(set(batches.rows.tolist())) == len(batches.rows) == len(texts) - batches.left_out
        assert batches.sizes.max(initial=0) <= batch_size
        assert batches.left_out >= sampler.unavoidable


# An exchange for one row opened a batch to another, which had been looked at before.
OPENED_LATER = (
    "677 135 865 295 509 493 082 904 600 881 223 332 466 161 377 061 836 "
    "080 738 743 714 770 590 274 806 785 931 957 255 686 256 153 418"
)


@settings(max_examples=60, deadline=None)
@given(texts=text_tables(), batch_size=st.integers(1, 9))
@example(texts=np.array([[int(digit) for digit in row] for row in OPENED_LATER.split()]), batch_size=5)
def test_a_row_left_out_fits_into_no_batch_with_room(texts: np.ndarray, batch_size: int) -> None:
    batches = NoDuplicateBatches(texts, RandomBatches(len(texts), batch_size)).epoch(0)
    left_out = set(range(len(texts))) - set(batches.rows.tolist())
    for batch in batches:
        held = {text for row in batch.tolist() for text in texts[row]}
        if len(batch) < batch_size:
            assert all(held & set(texts[row]) for row in left_out)


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(2, 12), rows=st.integers(2, 120), batch_size=st.integers(1, 12), seed=st.integers(0, 3))
def test_a_label_column_is_packed_as_well_as_arithmetic_allows(
    classes: int, rows: int, batch_size: int, seed: int
) -> None:
    # One text a row decides alone: with B batches, a text in m rows can be used min(m, B) times, and that suffices.
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    texts = np.stack([1000 + np.arange(rows), labels], axis=1)
    sampler = NoDuplicateBatches(texts, RandomBatches(rows, batch_size), seed=seed)
    best = sum(min(int(count), sampler.batches) for count in np.bincount(labels))
    assert len(sampler.epoch(0).rows) == min(best, sampler.batches * batch_size)


def test_every_row_is_used_where_texts_repeat_a_little() -> None:
    sentence = np.arange(3000)
    texts = np.concatenate([np.stack([sentence, sentence + 3000], 1), np.stack([sentence + 3000, sentence], 1)])
    for batch_size in (8, 64, 1024):
        batches = NoDuplicateBatches(texts, RandomBatches(len(texts), batch_size), seed=7).epoch(0)
        assert batches.left_out == 0
        assert repeated_texts(batches, texts) == []
        full = [batch_size] * (6000 // batch_size) + [6000 % batch_size] * (6000 % batch_size > 0)
        assert batches.sizes.tolist() == full


def test_equal_texts_meet_across_columns() -> None:
    texts = np.array([[0, 1], [1, 2], [3, 4], [5, 6]])  # text 1 is a positive of row 0 and the anchor of row 1
    for seed in range(20):
        for batch in NoDuplicateBatches(texts, RandomBatches(4, 2), seed=seed).epoch(0):
            assert set(batch.tolist()) != {0, 1}


def test_a_row_that_repeats_its_own_text_is_kept() -> None:
    texts = np.array([[0, 0], [1, 1], [2, 2]])
    assert NoDuplicateBatches(texts, RandomBatches(3, 3)).epoch(0).left_out == 0


def test_a_text_in_more_rows_than_batches_is_left_out_and_counted() -> None:
    texts = np.stack([np.zeros(100, dtype=int), 1 + np.arange(100)], axis=1)
    sampler = NoDuplicateBatches(texts, RandomBatches(100, 10))
    batches = sampler.epoch(0)
    assert batches.sizes.tolist() == [1] * 10
    assert (batches.left_out, sampler.unavoidable) == (90, 90)


def test_the_same_seed_and_epoch_give_the_same_batches_in_any_order_of_asking() -> None:
    texts = np.random.default_rng(0).integers(0, 50, (200, 3))
    first, second = (NoDuplicateBatches(texts, RandomBatches(200, 8), seed=3) for _ in range(2))
    second.epoch(5)
    for epoch in (0, 1):
        assert first.epoch(epoch).rows.tolist() == second.epoch(epoch).rows.tolist()
    assert first.epoch(0).rows.tolist() != first.epoch(1).rows.tolist()
    other = NoDuplicateBatches(texts, RandomBatches(200, 8), seed=4)
    assert first.epoch(0).rows.tolist() != other.epoch(0).rows.tolist()


@settings(max_examples=60, deadline=None)
@given(texts=text_tables(), budget=st.integers(5, 200), batch_size=st.integers(1, 9), seed=st.integers(0, 3))
def test_token_budget_and_no_duplicates_hold_together(
    texts: np.ndarray, budget: int, batch_size: int, seed: int
) -> None:
    tokens = np.random.default_rng(seed).integers(1, 60, len(texts))
    sampler = NoDuplicateBatches(texts, TokenBudgetBatches(tokens, budget, batch_size), seed=seed)
    batches = sampler.epoch(0)
    assert repeated_texts(batches, texts) == []
    assert batches.sizes.max(initial=0) <= batch_size


def test_text_numbers_agree_exactly_where_texts_do() -> None:
    anchors = ["한 남자", "b", "c", " B", "", None]
    positives = ["c", "한 남자", "d", "b", "", "x"]
    table = pa.table({"anchor": pa.chunked_array([anchors[:2], anchors[2:]]), "positive": positives})
    numbers = text_numbers(table, ["anchor", "positive"])
    cells = {(row, column): table[column][row].as_py() for row in range(6) for column in range(2)}
    for one, other in itertools.combinations(cells, 2):
        equal = cells[one] is not None and cells[one] == cells[other]
        assert (numbers[one] == numbers[other] and numbers[one] >= 0) == equal, (one, other)
    assert numbers[5, 0] == -1

    folded = text_numbers(table, ["anchor", "positive"], normalise=True)
    assert folded[3, 0] == folded[3, 1] == folded[1, 0]
    assert folded[5, 0] == -1


@pytest.mark.parametrize("rows", [0, 1])
def test_tiny_sets_do_not_fail(rows: int) -> None:
    texts = np.zeros((rows, 2), dtype=int)
    assert len(NoDuplicateBatches(texts, RandomBatches(rows, 8)).epoch(0)) == rows
