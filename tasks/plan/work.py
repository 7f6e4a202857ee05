"""Tokens in the batches of a run, for the forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stsflow.tasks.batching.epoch import IntArray
from stsflow.tasks.batching.multi import EpochOrder, TrainingBatches
from stsflow.tasks.plan.forecast import TokenWork
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.tokens.lengths import lengths_as_read


def token_work(
    batches: TrainingBatches,
    prepared: Sequence[PreparedSet],
    base: BaseModelRef,
    steps: int,
    accumulation: int,
    *,
    padded: bool,
    prompts: Mapping[str, Mapping[str, str]] | None = None,
    lengths: Mapping[str, Path] | None = None,
) -> TokenWork:
    """Tokens of every step of a run of `steps` steps on the first process; with `padded`, padding counts too.

    `prompts` are what the trainer puts before the texts, by training set and column; `lengths` the files with the
    sets' lengths (see `tokens.lengths`).
    """
    stored = lengths or {}
    tokens = [lengths_as_read(one, base, (prompts or {}).get(one.name, {}), stored.get(one.name)) for one in prepared]
    step_tokens, largest, real_total, padded_total = [], [], 0, 0
    for order, fed in batches.fed(steps, accumulation):
        real, full = _batch_tokens(order, tokens)
        real_total, padded_total = real_total + int(real[:fed].sum()), padded_total + int(full[:fed].sum())
        mine = -(-(full if padded else real)[:fed] // batches.world_size)
        firsts = np.arange(0, len(mine), accumulation)
        step_tokens.append(np.add.reduceat(mine, firsts))
        largest.append(np.maximum.reduceat(mine, firsts))
    return TokenWork(
        step_tokens=np.concatenate(step_tokens),
        largest_batch=np.concatenate(largest),
        padding_share=1 - real_total / max(1, padded_total),
    )


def _batch_tokens(
    order: EpochOrder, lengths: Sequence[IntArray]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Real and padded tokens of every batch of an epoch; each column of a batch is padded to its own longest text."""
    real, full = np.zeros(len(order), dtype=np.int64), np.zeros(len(order), dtype=np.int64)
    for number, batches in enumerate(order.sets):
        filled = batches.sizes > 0
        firsts = batches.bounds[:-1][filled]
        tokens = lengths[number][batches.rows].astype(np.int64)
        real_of, full_of = np.zeros(len(batches), dtype=np.int64), np.zeros(len(batches), dtype=np.int64)
        if len(firsts):
            real_of[filled] = np.add.reduceat(tokens.sum(axis=1), firsts)
            full_of[filled] = np.maximum.reduceat(tokens, firsts, axis=0).sum(axis=1) * batches.sizes[filled]
        where = order.set_of == number
        real[where] = real_of[order.index_in_set[where]]
        full[where] = full_of[order.index_in_set[where]]
    return real, full
