"""From prepared data and the recipe to the batches of a run: the one way in for trainer, plan and ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.batching.epoch import BatchSource, IntArray
from tasks.batching.multi import TrainingBatches
from tasks.batching.no_duplicates import NoDuplicateBatches
from tasks.batching.plain import RandomBatches, TokenBudgetBatches
from tasks.batching.texts import open_table, text_numbers
from tasks.config import TrainingConfig
from tasks.records import PreparedSet, SetTokens, TokenReport

TEXT_COLUMNS = ("anchor", "positive", "negative", "sentence1", "sentence2")


@dataclass(frozen=True)
class SetForBatching:
    """What the samplers need to know of one training set."""

    name: str
    rows: int
    texts: IntArray | None = None
    """(rows, columns) text numbers; needed for `no_duplicates`."""
    row_tokens: IntArray | None = None
    """Tokens of each row, all columns; where given, `batch_tokens` limits this set's batches."""


def read_sets(
    prepared: Sequence[PreparedSet],
    training: TrainingConfig,
    *,
    tokens: TokenReport | None = None,
    fixed_rows: Collection[str] = (),
) -> list[SetForBatching]:
    """The training sets as the samplers see them, in the order of `prepared`.

    `tokens` is needed with `training.batch_tokens`. `fixed_rows` names sets whose batches keep `batch_size` rows all
    the same, because their loss is cached and its mini-batches bear the token budget (see `plain.token_slices`).
    """
    sets = []
    for item in prepared:
        table = open_table(item.path)
        columns = [name for name in item.columns if name in TEXT_COLUMNS]
        texts = row_tokens = None
        if training.batch_sampler == "no_duplicates":
            texts = text_numbers(table, columns, normalise=training.normalise_duplicates)
        if training.batch_tokens is not None and item.name not in fixed_rows:
            if tokens is None:
                raise ValueError("batch_tokens needs the token report of the training sets")
            statistics = next(entry for entry in tokens.sets if entry.name == item.name and entry.role == "train")
            row_tokens = estimate_row_tokens(table, statistics, tokens.max_seq_length)
        sets.append(SetForBatching(item.name, table.num_rows, texts, row_tokens))
    return sets


def build_batches(sets: Sequence[SetForBatching], training: TrainingConfig, world_size: int) -> TrainingBatches:
    """The batches of a run of `training` over `sets` on `world_size` processes.

    `sets` must stand in the order in which the trainer's dictionary of data sets holds them. With several processes
    incomplete last batches are dropped, as the trainer does there.
    """
    drop_last = world_size > 1
    sources = tuple(_source(item, number, training, drop_last) for number, item in enumerate(sets))
    return TrainingBatches(
        names=tuple(item.name for item in sets),
        sources=sources,
        order=training.multi_dataset_batch_sampler,
        world_size=world_size,
        drop_last=drop_last,
        seed=training.seed,
    )


def estimate_row_tokens(table: pa.Table, statistics: SetTokens, max_seq_length: int) -> IntArray:
    """Tokens of each row, all text columns together, each cut at `max_seq_length`.

    Estimated from the number of characters and the column's own tokens per character, so that the sum over a column
    without cuts is right and a single row is off by some per cent: enough to fill batches by, without tokenising.
    """
    total = np.zeros(table.num_rows, dtype=np.int64)
    for name, column in statistics.columns.items():
        characters = pc.utf8_length(table.column(name)).to_numpy().astype(np.float64)
        per_character = column.tokens / max(1.0, float(characters.sum()))
        total += np.clip(np.rint(characters * per_character), 1, max_seq_length).astype(np.int64)
    return total


def _source(item: SetForBatching, number: int, training: TrainingConfig, drop_last: bool) -> BatchSource:
    batch_size = training.batch_sizes.get(item.name, training.batch_size)
    base: RandomBatches | TokenBudgetBatches
    if training.batch_tokens is not None and item.row_tokens is not None:
        base = TokenBudgetBatches(item.row_tokens, training.batch_tokens, batch_size, seed=training.seed, stream=number)
    else:
        base = RandomBatches(item.rows, batch_size, drop_last=drop_last, seed=training.seed, stream=number)
    if training.batch_sampler == "batch_sampler":
        return base
    if item.texts is None:
        raise ValueError(f"no_duplicates needs the text numbers of {item.name}")
    return NoDuplicateBatches(item.texts, base, seed=training.seed, stream=number)
