"""How much of each training set a run shows to the model, by drawing the batches that the trainer will be fed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stsflow.tasks.batching.epoch import IntArray
from stsflow.tasks.batching.multi import TrainingBatches
from stsflow.tasks.losses import Loss
from stsflow.tasks.records.plan import Exposure


def planned_exposure(
    batches: TrainingBatches, steps: int, accumulation: int, losses: Mapping[str, Loss], text_columns: Mapping[str, int]
) -> tuple[Exposure, ...]:
    """What a run of `steps` optimiser steps is fed of each set, from the samplers themselves.

    Each epoch is drawn as the trainer will draw it, cut where the run ends, and its rows counted. `losses` and
    `text_columns` (how many texts a row has) are by name of the set, for the in-batch negatives.
    """
    counters = [_Counter(rows) for rows in batches.rows]
    rows_per_epoch, batches_per_epoch = [0] * len(counters), [0] * len(counters)
    left_out = [0] * len(counters)
    for epoch, (order, fed) in enumerate(batches.fed(steps, accumulation)):
        for number, counter in enumerate(counters):
            counter.add(*order.fed_rows(number, fed))
            if epoch == 0:
                rows, sizes = order.fed_rows(number, batches.batches_per_epoch)
                rows_per_epoch[number], batches_per_epoch[number] = len(rows), len(sizes)
                left_out[number] = order.sets[number].left_out
    return tuple(
        Exposure(
            name=name,
            rows=counter.rows,
            batches=counter.batches,
            batches_per_epoch=batches_per_epoch[number],
            rows_seen=counter.rows_seen,
            rows_seen_per_epoch=rows_per_epoch[number],
            unique_rows_seen=counter.unique,
            repeats=counter.rows_seen - counter.unique,
            seen_share=counter.unique / max(1, counter.rows),
            seen_share_per_epoch=rows_per_epoch[number] / max(1, counter.rows),
            left_out_by_sampler=left_out[number],
            batch_size=batches.sources[number].batch_size // batches.world_size,
            effective_batch_size=batches.sources[number].batch_size * accumulation,
            in_batch_negatives=counter.mean_negatives(losses[name], text_columns[name]),
        )
        for number, (name, counter) in enumerate(zip(batches.names, counters, strict=True))
    )


class _Counter:
    """Rows of one set, as they are fed."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.batches = 0
        self.rows_seen = 0
        self._seen = np.zeros(rows, dtype=np.bool_)
        self._sizes: list[IntArray] = []

    def add(self, rows: IntArray, sizes: IntArray) -> None:
        """Count batches that hold `rows`, one after the other, `sizes` rows each."""
        self.batches += len(sizes)
        self.rows_seen += len(rows)
        self._seen[rows] = True
        self._sizes.append(sizes)

    @property
    def unique(self) -> int:
        """Rows seen at least once."""
        return int(np.count_nonzero(self._seen))

    def mean_negatives(self, loss: Loss, text_columns: int) -> float:
        """In-batch negatives of an anchor, the mean over the rows seen; 0 where none was seen or the loss uses none."""
        sizes = np.concatenate(self._sizes) if self._sizes else np.zeros(0, dtype=np.int64)
        if not self.rows_seen:
            return 0.0
        return float((loss.negatives(sizes, text_columns) * sizes).sum() / self.rows_seen)
