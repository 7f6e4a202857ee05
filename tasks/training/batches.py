"""From prepared sets to collated batches that know which rows they are made of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from stsflow.tasks.batching.multi import TrainingBatches
from stsflow.tasks.batching.shared import share

ROW_NUMBER = "stsflow_row"


class NumberedRows(TorchDataset[dict[str, Any]]):
    """All training sets one after the other; each row carries its set's name and its own number in that set."""

    def __init__(self, sets: Mapping[str, Dataset]) -> None:
        self.names = list(sets)
        self.sets = list(sets.values())
        self.starts = [0, *accumulate(len(one) for one in self.sets)]

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of one batch; all of one set, as every sampler here gives them."""
        which = bisect_right(self.starts, indices[0]) - 1
        numbers = [index - self.starts[which] for index in indices]
        columns = self.sets[which][numbers]
        names = [name for name in columns if name != "dataset_name"]
        return [
            {name: columns[name][i] for name in names} | {"dataset_name": self.names[which], ROW_NUMBER: number}
            for i, number in enumerate(numbers)
        ]


class PlannedBatches(Sampler[list[int]]):
    """What this process is fed of every batch, as positions in NumberedRows; the same for the same epoch."""

    batch_size = None  # batches differ in size; accelerate takes a number here for the size of every one of them
    drop_last = False

    def __init__(self, batches: TrainingBatches, rank: int = 0) -> None:
        self.batches = batches
        self.rank = rank
        self.starts = [0, *accumulate(batches.rows)]
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is of."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        for number, rows in self.batches.epoch(self.epoch):
            yield (share(rows, self.rank, self.batches.world_size) + self.starts[number]).tolist()

    def __len__(self) -> int:
        return self.batches.batches_per_epoch


class Collator:
    """Turns rows into a batch of `parts`: {name, rows, parts, shares}.

    `parts` holds one collated input, or several where the set's batches have to be computed in parts; `shares` is the
    share of rows of each.
    """

    def __init__(self, collate: Callable[[list[dict[str, Any]]], dict[str, Any]], parts: Mapping[str, int]) -> None:
        self.collate = collate
        self.parts = dict(parts)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        numbers = [row.pop(ROW_NUMBER) for row in rows]
        name = rows[0]["dataset_name"]
        size = -(-len(rows) // self.parts.get(name, 1))
        chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
        return {
            "parts": [self.collate(chunk) for chunk in chunks],
            "shares": [len(chunk) / len(rows) for chunk in chunks],
            "name": name,
            "rows": numbers,
        }
