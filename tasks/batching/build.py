"""From prepared data and the recipe to the batches of a run: the one way in for trainer, plan and ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stsflow.tasks.batching.epoch import BatchSource, IntArray
from stsflow.tasks.batching.multi import TrainingBatches
from stsflow.tasks.batching.no_duplicates import NoDuplicateBatches
from stsflow.tasks.batching.plain import RandomBatches, TokenBudgetBatches
from stsflow.tasks.batching.shared import SharedBatches
from stsflow.tasks.losses import Loss
from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.sets.texts import text_numbers
from stsflow.tasks.tokens.lengths import lengths_as_read

Sampler = Literal["batch_sampler", "no_duplicates"]


@dataclass(frozen=True)
class SetForBatching:
    """What the samplers need to know of one training set."""

    name: str
    rows: int
    texts: IntArray | None = None
    """(rows, columns) text numbers; where given, no batch holds a text in two of its rows."""
    row_tokens: IntArray | None = None
    """Tokens of each row, all columns; where given, `batch_tokens` limits this set's batches."""


def read_sets(
    prepared: Sequence[PreparedSet],
    training: TrainingConfig,
    losses: Mapping[str, Loss],
    *,
    base: BaseModelRef | None = None,
    lengths: Mapping[str, Path] | None = None,
    prompts: Mapping[str, Mapping[str, str]] | None = None,
) -> list[SetForBatching]:
    """The training sets as the samplers see them, in the order of `prepared`.

    `losses` are by name, for every set: what a batch must be follows from its loss. With `training.batch_tokens`,
    `base` is needed, `lengths` are the files with the lengths of the sets (see `tokens.lengths`), and where there are
    none, `prompts` by training set and column are counted with the texts; sets with a cached
    loss keep `batch_size` rows all the same, because its mini-batches bear the token budget (see `plain.token_slices`).
    """
    sets = []
    for item in prepared:
        table = read_rows(item)
        columns = item.roles.texts
        texts = row_tokens = None
        if sampler_of(item.name, training, losses[item.name]) == "no_duplicates":
            texts = text_numbers(table, columns, normalise=training.normalise_duplicates)
        if training.batch_tokens is not None and not losses[item.name].bounds_its_memory:
            if base is None:
                raise ValueError("batch_tokens needs the base model: its tokenizer and its length limit")
            tokens = lengths_as_read(item, base, (prompts or {}).get(item.name, {}), (lengths or {}).get(item.name))
            row_tokens = tokens.sum(axis=1, dtype=np.int32)
        sets.append(SetForBatching(item.name, table.num_rows, texts, row_tokens))
    return sets


def sampler_of(name: str, training: TrainingConfig, loss: Loss) -> Sampler:
    """The sampler of training set `name`: what the recipe says of it, of all sets, or what its loss needs."""
    if name in training.batch_samplers:
        return training.batch_samplers[name]
    if training.batch_sampler != "auto":
        return training.batch_sampler
    return "no_duplicates" if loss.ranks_against_the_batch else "batch_sampler"


def build_batches(sets: Sequence[SetForBatching], training: TrainingConfig, world_size: int) -> TrainingBatches:
    """The batches of a run of `training` over `sets` on `world_size` processes, each of which takes its share of all.

    `sets` must stand in the order in which the trainer's dictionary of data sets holds them. With several processes
    incomplete last batches are dropped.
    """
    sources = tuple(_source(item, number, training, world_size) for number, item in enumerate(sets))
    return TrainingBatches(
        names=tuple(item.name for item in sets),
        sources=sources,
        order=training.multi_dataset_batch_sampler,
        world_size=world_size,
        seed=training.seed,
    )


def _source(item: SetForBatching, number: int, training: TrainingConfig, world_size: int) -> BatchSource:
    batch_size = training.batch_sizes.get(item.name, training.batch_size) * world_size
    base: RandomBatches | TokenBudgetBatches
    if training.batch_tokens is not None and item.row_tokens is not None:
        tokens = training.batch_tokens * world_size
        base = TokenBudgetBatches(item.row_tokens, tokens, batch_size, seed=training.seed, stream=number)
    else:
        base = RandomBatches(item.rows, batch_size, drop_last=world_size > 1, seed=training.seed, stream=number)
    whole: BatchSource = base
    if item.texts is not None:
        whole = NoDuplicateBatches(item.texts, base, seed=training.seed, stream=number)
    if world_size == 1:
        return whole
    return SharedBatches(item.name, whole, world_size, item.row_tokens, seed=training.seed, stream=number)
