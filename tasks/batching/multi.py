"""The batches of a whole run: several data sets in turn or in proportion, over epochs, for one process or several.

The order is that of sentence-transformers 6.2, so that its trainer can be given it:

- `round_robin` takes one batch of each set in turn and ends an epoch with the set that has the fewest batches;
- `proportional` takes every batch of every set, in random order;
- of N processes each takes a part of every batch, which is as large as their batches together (see `shared.py`): what
  is compared within a batch is compared with the rows of all, and one process with that batch would learn the same;
- an optimiser step takes `accumulation` batches; the last one of an epoch takes what is left;
- a run of E epochs has ceil(E * steps per epoch) steps, or `max_steps`, and may end within an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stsflow.tasks.batching.epoch import BatchSource, EpochBatches, IntArray, generator

Order = Literal["round_robin", "proportional"]
_ORDER_STREAM = 1_000_003
"""Stream of the order of data sets, apart from the streams of the sets themselves (0, 1, …)."""


@dataclass(frozen=True)
class EpochOrder:
    """One epoch over all sets: batch i is batch `index_in_set[i]` of set `set_of[i]`."""

    sets: tuple[EpochBatches, ...]
    set_of: npt.NDArray[np.int64]
    index_in_set: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.set_of)

    def __getitem__(self, index: int) -> tuple[int, IntArray]:
        """Set number and row numbers (within the set) of batch `index`."""
        number = int(self.set_of[index])
        return number, self.sets[number][int(self.index_in_set[index])]

    def from_batch(self, start: int) -> Iterator[tuple[int, IntArray]]:
        """The batches from number `start` on; skipping costs nothing."""
        return (self[index] for index in range(start, len(self)))

    def __iter__(self) -> Iterator[tuple[int, IntArray]]:
        return self.from_batch(0)

    def fed_rows(self, number: int, count: int) -> tuple[IntArray, IntArray]:
        """Of the first `count` batches those of set `number`: their rows, one after the other, and their sizes.

        The batches of a set always come in its own order, so they are its first ones.
        """
        batches = int(np.count_nonzero(self.set_of[:count] == number))
        bounds = self.sets[number].bounds[: batches + 1]
        return self.sets[number].rows[: bounds[-1]], np.diff(bounds)


@dataclass(frozen=True)
class TrainingBatches:
    """What a trainer with these sets, in this order, on `world_size` processes, is fed. Same seed, same batches."""

    names: tuple[str, ...]
    sources: tuple[BatchSource, ...]
    order: Order
    world_size: int = 1
    seed: int = 0

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each set."""
        return tuple(source.rows for source in self.sources)

    @property
    def batches_per_epoch(self) -> int:
        """Batches in an epoch; every process takes part in each."""
        counts = [source.batches for source in self.sources]
        return min(counts) * len(counts) if self.order == "round_robin" else sum(counts)

    def epoch(self, epoch: int) -> EpochOrder:
        """All batches of this epoch, in order, for all processes together."""
        sets = tuple(source.epoch(epoch) for source in self.sources)
        if self.order == "round_robin":
            shortest = min(len(batches) for batches in sets)
            set_of = np.tile(np.arange(len(sets)), shortest)
            return EpochOrder(sets, set_of, np.repeat(np.arange(shortest), len(sets)))
        set_of = np.repeat(np.arange(len(sets)), [len(batches) for batches in sets])
        set_of = generator(self.seed, epoch, _ORDER_STREAM).permutation(set_of)
        index_in_set = np.empty(len(set_of), dtype=np.int64)
        for number, batches in enumerate(sets):
            index_in_set[set_of == number] = np.arange(len(batches))
        return EpochOrder(sets, set_of, index_in_set)

    def steps_per_epoch(self, accumulation: int = 1) -> int:
        """Optimiser steps in a whole epoch."""
        return -(-self.batches_per_epoch // accumulation)

    def steps(self, epochs: float, max_steps: int | None = None, accumulation: int = 1) -> int:
        """Optimiser steps of a run, as the trainer works them out."""
        return max_steps if max_steps is not None else math.ceil(epochs * self.steps_per_epoch(accumulation))

    def fed(self, steps: int, accumulation: int = 1) -> Iterator[tuple[EpochOrder, int]]:
        """For each epoch of a run of `steps` steps its order, and how many of its batches are fed, from the first."""
        per_epoch = self.steps_per_epoch(accumulation)
        for epoch in range(-(-steps // per_epoch) if per_epoch else 0):
            updates = min(per_epoch, steps - epoch * per_epoch)
            order = self.epoch(epoch)
            yield order, min(updates * accumulation, self.batches_per_epoch, len(order))


def ends_with(names: Sequence[str], sources: Sequence[BatchSource], order: Order) -> str:
    """Why an epoch ends, in words."""
    if order == "proportional" or len(names) == 1:
        return "every batch of every data set has been used"
    smallest = min(range(len(names)), key=lambda number: sources[number].batches)
    return f"round robin ends with the smallest data set: {names[smallest]}, {sources[smallest].batches:,} batches"
