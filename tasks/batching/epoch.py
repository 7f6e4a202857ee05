"""The batches of one data set in one epoch, and what every way of making them has in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class EpochBatches:
    """Row numbers of one epoch, batch after batch. Nothing is drawn while iterating: any batch can be asked for."""

    rows: IntArray
    """Row numbers of batch 0, then of batch 1, …"""
    bounds: IntArray
    """Batch i is `rows[bounds[i]:bounds[i + 1]]`; one number more than there are batches."""
    total_rows: int
    """Rows of the data set."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> IntArray:
        return self.rows[self.bounds[index] : self.bounds[index + 1]]

    def __iter__(self) -> Iterator[IntArray]:
        return (self[index] for index in range(len(self)))

    @property
    def sizes(self) -> IntArray:
        """Rows of each batch."""
        return np.diff(self.bounds)

    @property
    def left_out(self) -> int:
        """Rows that are in no batch of this epoch."""
        return self.total_rows - len(self.rows)

    @classmethod
    def from_assignment(cls, batch_of: IntArray, batches: int) -> EpochBatches:
        """Group rows by `batch_of` (batch number of each row, -1 for none); within a batch they keep their order."""
        rows = np.flatnonzero(batch_of >= 0)
        order = np.argsort(batch_of[rows], kind="stable")
        bounds = np.zeros(batches + 1, dtype=np.int64)
        np.cumsum(np.bincount(batch_of[rows], minlength=batches), out=bounds[1:])
        return cls(rows[order].astype(np.int32 if len(batch_of) < 2**31 else np.int64), bounds, len(batch_of))


class BatchSource(Protocol):
    """A way of cutting one data set into batches. The same `epoch` number always gives the same batches."""

    rows: int
    """Rows of the data set."""
    batches: int
    """Batches in every epoch: the same number each time, which is what makes a resume by step count exact."""
    batch_size: int
    """Most rows in a batch."""

    def epoch(self, epoch: int) -> EpochBatches:
        """The batches of this epoch (from 0)."""
        ...


def count_batches(rows: int, batch_size: int, drop_last: bool) -> int:
    """Batches that `rows` rows fill; an incomplete last one counts unless it is dropped."""
    return rows // batch_size if drop_last else -(-rows // batch_size)


def generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """A generator of its own for each seed, epoch and data set, whatever was drawn before."""
    return np.random.default_rng([seed, epoch, stream])
