"""The order of several sets is compared with the installed sentence-transformers and accelerate samplers."""

from __future__ import annotations

import numpy as np
import pytest

from stsflow.tasks.batching.build import SetForBatching, build_batches
from stsflow.tasks.batching.multi import TrainingBatches, ends_with
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

    ours = make({"x": 45, "y": 13}, world_size=2 if drop_last else 1, batch_size=4, multi_dataset_batch_sampler=order)
    assert sorted((number == 1, len(rows)) for number, rows in ours.epoch(0)) == expected
    assert ours.batches_per_epoch == len(library) == len(expected)
    if order == "round_robin":
        assert [number for number, _ in ours.epoch(0)] == [int(min(batch) >= 45) for batch in library]


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_are_fed_what_accelerate_deals_them(world_size: int) -> None:
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    batches = make({"x": 45, "y": 13}, world_size=world_size, batch_size=4)
    order = batches.epoch(0)
    whole = [[(number, row) for row in rows.tolist()] for number, rows in order]

    class Sampler(BatchSampler):
        batch_size, drop_last = None, True  # type: ignore[assignment]

        def __init__(self) -> None:
            pass

        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(whole)

        def __len__(self) -> int:
            return len(whole)

    shards = [BatchSamplerShard(Sampler(), world_size, rank, even_batches=False) for rank in range(world_size)]
    dealt = [list(shard) for shard in shards]
    assert {len(shard) for shard in shards} == {len(items) for items in dealt} == {batches.batches_per_process}
    ((_, count),) = batches.fed(batches.steps(1.0))
    assert sorted(map(str, whole[:count])) == sorted(str(batch) for items in dealt for batch in items)


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
