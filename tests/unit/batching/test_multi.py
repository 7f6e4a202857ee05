"""The order of several sets is compared with the installed sentence-transformers samplers."""

from __future__ import annotations

import numpy as np
import pytest

from stsflow.tasks.batching.build import SetForBatching, build_batches
from stsflow.tasks.batching.multi import TrainingBatches, ends_with
from stsflow.tasks.batching.shared import share
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.recipe.sections import TrainingConfig


def make(rows: dict[str, int], world_size: int = 1, **training: object) -> TrainingBatches:
    config = TrainingConfig.model_validate({"batch_sampler": "batch_sampler", **training})
    return build_batches([SetForBatching(name, count) for name, count in rows.items()], config, world_size)


def test_the_reference_recipe_has_1438_steps_and_5752_triplets_an_epoch() -> None:
    batches = make({"kornli": 568_640, "korsts": 5_749}, batch_size=8, multi_dataset_batch_sampler="round_robin")
    assert batches.batches_per_epoch == batches.steps(1.0) == 1_438
    fed = [item for order, count in batches.fed(1_438) for item in list(order)[:count]]
    assert sum(len(rows) for number, rows in fed if number == 0) == 5_752
    assert sum(number == 1 for number, _ in fed) == 719
    assert ends_with(batches.names, batches.sources, batches.order) == (
        "round robin ends with the smallest data set: korsts, 719 batches"
    )


@pytest.mark.parametrize("order", ["round_robin", "proportional"])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("no_duplicates", [False, True])
def test_batch_counts_equal_those_of_sentence_transformers(order: str, drop_last: bool, no_duplicates: bool) -> None:
    import torch
    from datasets import Dataset
    from sentence_transformers.base.sampler import (
        DefaultBatchSampler,
        NoDuplicatesBatchSampler,
        ProportionalBatchSampler,
        RoundRobinBatchSampler,
    )
    from torch.utils.data import ConcatDataset, RandomSampler

    parts = [
        Dataset.from_dict({"a": [f"{name}{row}" for row in range(count)]}) for name, count in (("x", 45), ("y", 13))
    ]
    generator = torch.Generator()

    def theirs(part: Dataset) -> DefaultBatchSampler:
        if no_duplicates:
            return NoDuplicatesBatchSampler(part, 4, drop_last, generator=generator)
        return DefaultBatchSampler(RandomSampler(part, generator=generator), 4, drop_last)

    kind = RoundRobinBatchSampler if order == "round_robin" else ProportionalBatchSampler
    library = kind(ConcatDataset(parts), [theirs(part) for part in parts], generator, seed=1)
    expected = sorted((min(batch) >= 45, len(batch)) for batch in library)

    ways = {"world_size": 2, "batch_size": 2} if drop_last else {"world_size": 1, "batch_size": 4}
    ours = make({"x": 45, "y": 13}, multi_dataset_batch_sampler=order, **ways)
    assert sorted((number == 1, len(rows)) for number, rows in ours.epoch(0)) == expected
    assert ours.batches_per_epoch == len(library) == len(expected)
    if order == "round_robin":
        assert [number for number, _ in ours.epoch(0)] == [int(min(batch) >= 45) for batch in library]


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("no_duplicates", [False, True])
def test_processes_share_the_batches_that_one_would_be_fed(world_size: int, no_duplicates: bool) -> None:
    texts = np.random.default_rng(1).integers(0, 25, (60, 2)) if no_duplicates else None
    batches = build_batches([SetForBatching("x", 60, texts)], TrainingConfig(batch_size=4), world_size)
    whole = 4 * world_size
    one = build_batches([SetForBatching("x", 60, texts)], TrainingConfig(batch_size=whole), 1)
    fed = [[share(rows, rank, world_size).tolist() for rank in range(world_size)] for _, rows in batches.epoch(0)]
    assert len(fed) == batches.steps(1.0) == 60 // whole
    for parts, (_, rows) in zip(fed, one.epoch(0), strict=False):
        together = sorted(row for part in parts for row in part)
        assert len({len(part) for part in parts}) == 1
        assert set(together) <= set(rows.tolist()) or no_duplicates  # a last batch is dropped, its rows fill others
        if texts is not None:
            shown = [text for row in together for text in set(texts[row].tolist())]
            assert len(shown) == len(set(shown))
    rows_fed = [row for parts in fed for part in parts for row in part]
    assert len(set(rows_fed)) == len(rows_fed)
    assert batches.epoch(0).sets[0].left_out == 60 - len(rows_fed)


def test_parts_hold_about_equally_many_tokens_where_batches_are_cut_by_them() -> None:
    tokens = np.random.default_rng(2).integers(5, 200, 400)
    config = TrainingConfig(batch_size=64, batch_tokens=500)
    order = build_batches([SetForBatching("x", 400, row_tokens=tokens)], config, 2).epoch(0)
    for _, rows in order:
        parts = [int(tokens[share(rows, rank, 2)].sum()) for rank in range(2)]
        assert sum(parts) <= 1000 + 200
        assert abs(parts[0] - parts[1]) <= tokens[rows].max()


def test_a_batch_with_fewer_rows_than_processes_is_refused_with_the_remedy() -> None:
    texts = np.zeros((8, 1), dtype=np.int64)  # one text for all: a row in each batch
    batches = build_batches([SetForBatching("x", 8, texts)], TrainingConfig(batch_size=2), 2)
    with pytest.raises(PreconditionError, match=r"training set x has 1 row\(s\) for 2 processes.*batch_samplers\.x"):
        batches.epoch(0)


def test_a_run_may_end_within_an_epoch_and_within_no_accumulated_step() -> None:
    batches = make({"x": 40}, batch_size=4)  # ten batches
    assert batches.steps_per_epoch(accumulation=4) == 3
    assert [count for _, count in batches.fed(3, accumulation=4)] == [10]
    assert [count for _, count in batches.fed(5, accumulation=4)] == [10, 8]
    assert batches.steps(0.5) == 5
    assert batches.steps(1.0, max_steps=27) == 27
    assert [count for _, count in batches.fed(27)] == [10, 10, 7]


def test_going_on_at_batch_k_gives_the_tail_of_the_whole() -> None:
    texts = np.random.default_rng(0).integers(0, 60, (120, 2))
    config = TrainingConfig(batch_size=4)
    order = build_batches([SetForBatching("x", 120, texts), SetForBatching("y", 120, texts)], config, 1).epoch(3)
    whole = [(number, rows.tolist()) for number, rows in order]
    again = build_batches([SetForBatching("x", 120, texts), SetForBatching("y", 120, texts)], config, 1).epoch(3)
    assert [(number, rows.tolist()) for number, rows in again.from_batch(17)] == whole[17:]


def test_two_sets_of_one_size_are_not_drawn_alike() -> None:
    order = make({"x": 40, "y": 40}, batch_size=4).epoch(0)
    assert order.sets[0].rows.tolist() != order.sets[1].rows.tolist()


def test_a_batch_size_of_its_own() -> None:
    batches = make({"x": 40, "y": 40}, batch_size=4, batch_sizes={"y": 10})
    assert [source.batches for source in batches.sources] == [10, 4]
