"""Which rows the model has been fed, counted from the batches themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


class Ledger:
    """For each training set, how often each of its rows was fed, and how many batches.

    One byte a row: a row that is fed more than 255 times stays at 255 in `times`; `rows_fed` counts on.
    """

    def __init__(self, rows: Mapping[str, int]) -> None:
        self.times: dict[str, npt.NDArray[np.uint8]] = {name: np.zeros(n, np.uint8) for name, n in rows.items()}
        self.rows_fed = dict.fromkeys(rows, 0)
        self.batches = dict.fromkeys(rows, 0)

    def count(self, name: str, rows: Sequence[int]) -> None:
        """Note a batch of set `name` (row numbers from 0, none twice)."""
        times = self.times[name]
        fed = np.asarray(rows)
        times[fed] += times[fed] < 255
        self.rows_fed[name] += len(fed)
        self.batches[name] += 1

    def unique(self, name: str) -> int:
        """Distinct rows of set `name` that were fed."""
        return int(np.count_nonzero(self.times[name]))

    def save(self, path: Path) -> None:
        """Write the ledger to `path` (.npz, no pickled objects)."""
        counts = np.array([[self.rows_fed[name], self.batches[name]] for name in self.times], np.int64)
        np.savez(path, counts=counts, **{f"times_{i}": times for i, times in enumerate(self.times.values())})

    def load(self, path: Path) -> None:
        """Take over what `save` wrote for the same sets."""
        with np.load(path, allow_pickle=False) as stored:
            for i, name in enumerate(self.times):
                self.times[name] = stored[f"times_{i}"]
                self.rows_fed[name], self.batches[name] = (int(number) for number in stored["counts"][i])

    def add(self, other: Ledger) -> None:
        """Add what another process of the same training was fed."""
        for name, times in other.times.items():
            total = self.times[name].astype(np.uint16) + times
            self.times[name] = np.minimum(total, 255).astype(np.uint8)
            self.rows_fed[name] += other.rows_fed[name]
            self.batches[name] += other.batches[name]
