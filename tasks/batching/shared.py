"""Batches that several processes share in equal parts: of N processes, process r takes the rows r, N + r, 2N + r, …

Equal parts are what makes the mean of the processes' gradients the gradient of the whole batch. A batch that does not
divide loses at most N - 1 rows, drawn at random, which count as left out of the epoch. Where the tokens of the rows are
known, the parts hold about equally many: rows are dealt by length, to and fro.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stsflow.tasks.batching.epoch import BatchSource, EpochBatches, IntArray, generator
from stsflow.tasks.ground.errors import PreconditionError

_DROPPING = 2_000_003
"""Added to a set's stream for the rows that are left out, so that they are drawn apart from its batches."""


def share(rows: IntArray, rank: int, world_size: int) -> IntArray:
    """Of the rows of a batch those of process `rank`."""
    return rows[rank::world_size]


class SharedBatches:
    """The batches of `whole`, each cut to a multiple of `world_size` rows and ordered for dealing."""

    def __init__(
        self, name: str, whole: BatchSource, world_size: int, row_tokens: IntArray | None, *, seed: int, stream: int
    ) -> None:
        self.rows, self.batches, self.batch_size = whole.rows, whole.batches, whole.batch_size
        self._name, self._whole, self._world_size, self._row_tokens = name, whole, world_size, row_tokens
        self._seed, self._stream = seed, stream

    def epoch(self, epoch: int) -> EpochBatches:
        """The batches of this epoch; raises PreconditionError where one has fewer rows than there are processes."""
        found = self._whole.epoch(epoch)
        if not len(found):
            return found
        sizes = found.sizes
        if int(sizes.min()) < self._world_size:
            number = int(np.argmin(sizes))
            raise PreconditionError(
                f"Batch {number} of epoch {epoch} of training set {self._name} has {sizes[number]} row(s) for "
                f"{self._world_size} processes, each of which needs one: too many of its rows share a text. Use a "
                f"smaller training.batch_sizes.{self._name}, fewer training.processes, or "
                f"training.batch_samplers.{self._name}: batch_sampler."
            )
        if (sizes % self._world_size).any():
            found = self._cut(found, generator(self._seed, epoch, self._stream + _DROPPING))
        return found if self._row_tokens is None else self._dealt_by_length(found, self._row_tokens)

    def _cut(self, found: EpochBatches, random: np.random.Generator) -> EpochBatches:
        batch_of = np.repeat(np.arange(len(found)), found.sizes)
        place = _place_in_batch(found, np.lexsort((random.random(len(found.rows)), batch_of)))
        kept = place < (found.sizes - found.sizes % self._world_size)[batch_of]
        bounds = np.concatenate(([0], np.cumsum(found.sizes - found.sizes % self._world_size)))
        return EpochBatches(found.rows[kept], bounds, found.total_rows)

    def _dealt_by_length(self, found: EpochBatches, row_tokens: IntArray) -> EpochBatches:
        batch_of = np.repeat(np.arange(len(found)), found.sizes)
        order = np.lexsort((-row_tokens[found.rows].astype(np.int64), batch_of))
        turn, seat = np.divmod(_place_in_batch(found, order), self._world_size)
        seat = np.where(turn % 2, self._world_size - 1 - seat, seat)
        dealt = np.lexsort((turn * self._world_size + seat, batch_of))
        return EpochBatches(found.rows[dealt], found.bounds, found.total_rows)


def _place_in_batch(found: EpochBatches, order: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """The place of each row in its batch when the rows stand in `order`, which keeps batches together."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - np.repeat(found.bounds[:-1], found.sizes)
    return place
