"""Our batches inside the sentence-transformers trainer, by its own two arguments for samplers.

    route = TrainerRoute(build_batches(sets, training, world_size))
    arguments = SentenceTransformerTrainingArguments(..., **route.arguments)
    trainer = SentenceTransformerTrainer(..., train_dataset=DatasetDict(...), callbacks=[route.callback()])

Only this file needs torch; it is for the trainer process. The data sets must be a `DatasetDict`, one set alone too,
whose order is that of the batches' names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sentence_transformers.base.sampler import DefaultBatchSampler, MultiDatasetDefaultBatchSampler
from torch.utils.data import ConcatDataset
from transformers import TrainerCallback

from stsflow.tasks.batching.multi import TrainingBatches


class TrainerRoute:
    """Hands one `TrainingBatches` to the trainer."""

    def __init__(self, batches: TrainingBatches) -> None:
        self.batches = batches
        self._samplers: list[MultiSetSampler] = []

    @property
    def arguments(self) -> dict[str, Callable[..., Any]]:
        """`batch_sampler` and `multi_dataset_batch_sampler` for the training arguments."""
        return {"batch_sampler": self._single, "multi_dataset_batch_sampler": self._multi}

    def set_epoch(self, epoch: int) -> None:
        """Tell every sampler that was made which epoch comes."""
        for sampler in self._samplers:
            sampler.set_epoch(epoch)

    def callback(self) -> TrainerCallback:
        """A callback that calls `set_epoch`.

        The trainer does so itself, except after a resume with several processes: it reaches through one wrapper, and
        there are two then (transformers 5.23, `Trainer._run_epoch`).
        """
        return _EpochCallback(self)

    def _single(self, dataset: Any, **arguments: Any) -> DefaultBatchSampler:
        return _PartOfSeveral(dataset, **arguments)

    def _multi(self, dataset: ConcatDataset[Any], **arguments: Any) -> MultiSetSampler:
        sampler = MultiSetSampler(self.batches, dataset, **arguments)
        self._samplers.append(sampler)
        return sampler


class MultiSetSampler(MultiDatasetDefaultBatchSampler):  # type: ignore[misc]
    """The batches of all sets as row numbers of the concatenated data set."""

    def __init__(self, batches: TrainingBatches, dataset: ConcatDataset[Any], **arguments: Any) -> None:
        super().__init__(dataset, **arguments)
        self.batches = batches
        _check_rows(batches, [len(part) for part in dataset.datasets])  # type: ignore[arg-type]
        # Batches differ in size; accelerate takes a number here for the size of every one of them.
        self.batch_size = None

    def __iter__(self) -> Iterator[list[int]]:
        offsets = [0, *self.dataset.cumulative_sizes]
        for number, rows in self.batches.epoch(self.epoch):
            yield (rows + offsets[number]).tolist()

    def __len__(self) -> int:
        return self.batches.batches_per_epoch


class _PartOfSeveral(DefaultBatchSampler):  # type: ignore[misc]
    """Stands for one set until the sampler of all sets is made, which is the one that draws."""

    def __iter__(self) -> Iterator[list[int]]:
        raise TypeError("These batches are for a DatasetDict; put a single data set into one too.")


class _EpochCallback(TrainerCallback):
    def __init__(self, route: TrainerRoute) -> None:
        self._route = route

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._route.set_epoch(int(state.epoch or 0))


def _check_rows(batches: TrainingBatches, rows: Sequence[int]) -> None:
    if list(batches.rows) != list(rows):
        raise ValueError(
            f"The trainer's data sets have {list(rows)} rows, the batches were made for {list(batches.rows)} "
            f"({', '.join(batches.names)}): same sets, same order?"
        )
