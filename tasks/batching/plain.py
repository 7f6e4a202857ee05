"""Random batches: a fixed number of rows, or about a number of tokens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stsflow.tasks.batching.epoch import EpochBatches, IntArray, count_batches, generator


class RandomBatches:
    """Every row once an epoch, in random batches of `batch_size` rows; the last one may be shorter, or is dropped."""

    def __init__(self, rows: int, batch_size: int, *, drop_last: bool = False, seed: int = 0, stream: int = 0) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.batches = count_batches(rows, batch_size, drop_last)
        self._seed, self._stream = seed, stream

    def epoch(self, epoch: int) -> EpochBatches:
        """The batches of this epoch."""
        batch_of = self.assignment(generator(self._seed, epoch, self._stream))
        return EpochBatches.from_assignment(batch_of, self.batches)

    def assignment(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """The batch of each row, -1 for rows of a dropped last batch."""
        batch_of = np.empty(self.rows, dtype=np.int64)
        batch_of[random.permutation(self.rows)] = np.arange(self.rows) // self.batch_size
        batch_of[batch_of >= self.batches] = -1
        return batch_of


class TokenBudgetBatches:
    """Every row once an epoch, in random batches of about equal weight: `batch_tokens` tokens, or `batch_size` rows.

    A row weighs the larger of its share of the token budget and of the row limit. The number of batches is the total
    weight, rounded up, so it is the same in every epoch; rows in random order are cut at equal weights. A batch holds
    at most `batch_tokens` tokens plus one row, and never more than `batch_size` rows. No batch is incomplete, so
    there is none to drop.

    The number of rows varies from batch to batch, and with it the in-batch negatives of a loss that has them: where
    those must stay what the recipe says, keep a fixed `batch_size` with the cached loss, whose memory does not depend
    on it.
    """

    def __init__(
        self, row_tokens: IntArray, batch_tokens: int, batch_size: int, *, seed: int = 0, stream: int = 0
    ) -> None:
        self.rows = len(row_tokens)
        self.batch_size = batch_size
        # In units of 1 / (batch_tokens * batch_size) of a batch all of this is exact integer arithmetic.
        full = batch_tokens * batch_size
        self._weights = np.clip(row_tokens.astype(np.int64) * batch_size, batch_tokens, full)
        self._total = int(self._weights.sum())
        self.batches = -(-self._total // full)
        self._seed, self._stream = seed, stream

    def epoch(self, epoch: int) -> EpochBatches:
        """The batches of this epoch."""
        batch_of = self.assignment(generator(self._seed, epoch, self._stream))
        return EpochBatches.from_assignment(batch_of, self.batches)

    def assignment(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """The batch of each row."""
        batch_of = np.empty(self.rows, dtype=np.int64)
        if not self.rows:
            return batch_of
        order = random.permutation(self.rows)
        weights = self._weights[order]
        starts = np.cumsum(weights) - weights
        number = np.arange(self.batches)
        firsts = np.searchsorted(starts, number * -(-self._total // self.batches))
        # Next to a row of a whole batch's weight a cut may fall where no row starts: no batch may be empty.
        firsts = np.maximum.accumulate(firsts - number) + number
        firsts = np.minimum(firsts, self.rows - self.batches + number)
        batch_of[order] = np.repeat(number, np.diff(firsts, append=self.rows))
        return batch_of
