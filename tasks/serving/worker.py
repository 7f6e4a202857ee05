"""The one thread that runs the model: batches from the line, embeddings back to their requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np

from stsflow.tasks.ground.no_room import is_out_of_memory
from stsflow.tasks.serving.line import Line, Taken
from stsflow.tasks.serving.metrics import Metrics

logger = logging.getLogger(__name__)


class Worker(threading.Thread):
    """Takes batches until the line is closed and empty. What goes wrong in one ends its requests, not the thread."""

    def __init__(self, line: Line, metrics: Metrics) -> None:
        super().__init__(name="model", daemon=True)
        self.line, self.metrics = line, metrics

    def run(self) -> None:
        """Until the line is closed and empty."""
        while taken := self.line.take():
            for one in taken:
                if one.number == 0:
                    self.metrics.waited.observe(time.monotonic() - one.work.came)
            for batch in batches(taken, self.line.batch_tokens):
                self._embed(batch)

    def _embed(self, batch: Sequence[Taken]) -> None:
        """The embeddings of the batch, handed to its requests; in halves where memory does not suffice."""
        work = batch[0].work
        started = time.monotonic()
        try:
            rows = work.model.embed([one.work.texts[one.number] for one in batch], work.prompt)
            if not np.isfinite(rows).all():
                raise ArithmeticError("the model gave an embedding that is no number")
        except Exception as error:  # whatever a model raises: its requests are told, and the others served
            if is_out_of_memory(error) and len(batch) > 1:
                middle = len(batch) // 2
                self._embed(batch[:middle])
                self._embed(batch[middle:])
                return
            logger.exception("a batch of %d texts could not be embedded", len(batch))
            for one in {id(one.work): one for one in batch}.values():
                _end(one, error)
            return
        self.metrics.batch(len(batch), sum(one.length for one in batch), time.monotonic() - started)
        for one, row in zip(batch, rows, strict=True):
            _give(one, row)


def batches(taken: Sequence[Taken], budget: int) -> list[list[Taken]]:
    """What was taken, in batches that one model can read at once: of one model and one prompt, sorted by length."""
    alike: dict[tuple[int, str], list[Taken]] = {}
    for one in taken:
        alike.setdefault((id(one.work.model), one.work.prompt), []).append(one)
    return [
        [group[number] for number in numbers]
        for group in alike.values()
        for numbers in group[0].work.model.batches([one.length for one in group], budget)
    ]


def _give(one: Taken, row: np.ndarray) -> None:
    work = one.work
    if work.rows is None:
        work.rows = np.empty((len(work.texts), len(row)), np.float32)
    work.rows[one.number] = row
    work.left -= 1
    if work.left == 0 and not work.abandoned:
        work.finish(work.rows)


def _end(one: Taken, error: Exception) -> None:
    if not one.work.abandoned:
        one.work.abandoned = True
        one.work.finish(error)
