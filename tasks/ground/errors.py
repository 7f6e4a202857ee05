"""Every error that stsflow raises on purpose, told apart by type: refused before work began (exit code 2), failed while
it was under way (1), or a check that says no (3).

A message is one sentence or two for the person who has to act: what could not be done, where (file, line, field), what
was found, what is allowed. The command line prints it alone; a traceback means a defect of stsflow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class StsflowError(Exception):
    """Base of the family. `exit_code` is what the command line ends with."""

    exit_code = 1

    @property
    def message(self) -> str:
        """The sentence for the person."""
        return str(self)


class Refused(StsflowError):
    """Found before work began; nothing was written."""

    exit_code = 2


class RecipeError(Refused):
    """The recipe has an unknown key, an illegal value, or parts that do not fit each other."""


class DataError(Refused):
    """A data source is missing, damaged, or does not hold what the recipe says."""


class ModelError(Refused):
    """A base model is missing, is not a model, is not what the recipe pinned, or is not sound."""


class PreconditionError(Refused):
    """The machine lacks something: room on the disk, a device, a server that answers."""


class DamagedRecord(Refused, ValueError):
    """A record that an earlier step or run wrote is missing, or is not what was written."""


class RunFailed(StsflowError):
    """Work had begun and did not end well."""


class DownloadFailed(RunFailed):
    """The network gave up after every retry."""


class TrainingFailed(RunFailed):
    """The trainer ended without a model."""


class OutOfMemory(TrainingFailed):
    """The device or the machine ran out of memory."""


class LossNotFinite(TrainingFailed):
    """The loss became NaN or infinite."""


class TrainerHung(TrainingFailed):
    """The trainer wrote no event for longer than the recipe allows."""


class TrainerKilled(TrainingFailed):
    """The trainer was ended by a signal that stsflow did not send."""


class TeachingFailed(RunFailed):
    """The teacher's process ended before every row was labelled."""


class EmbeddingFailed(RunFailed):
    """The process that embeds texts ended before every row had its vector."""


class MiningFailed(RunFailed):
    """The process that mines negatives ended without rows."""


class EvaluationFailed(RunFailed):
    """The evaluation process ended without scores."""


class ExportFailed(RunFailed):
    """The process that makes or measures an export ended without it."""


class DiskFull(RunFailed):
    """A write failed for want of room on the disk."""


class PushFailed(RunFailed):
    """The champion did not get to the hub."""


class TrackingUnavailable(RunFailed):
    """MLflow did not answer when the record of a run had to be completed."""


class RecordRefused(RunFailed):
    """MLflow answered that it will not take a part of the record; asking again gets the same answer."""


class CheckFailed(StsflowError):
    """A check that was asked for says no."""

    exit_code = 3


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and what was being handled then; each once."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]


@contextmanager
def refusal_ends_the_process() -> Iterator[None]:
    """In a child: what is refused within becomes the last line of its log, and its exit code the child's."""
    try:
        yield
    except Refused as refused:
        print(" ".join(refused.message.split()), file=sys.stderr, flush=True)
        sys.exit(refused.exit_code)
