"""Why an attempt left no model, for the person who must act. What the trainer itself says of it is in `worker.py`."""

from __future__ import annotations

from stsflow.tasks.ground.child import Ended, last_lines
from stsflow.tasks.ground.errors import (
    DiskFull,
    LossNotFinite,
    OutOfMemory,
    PreconditionError,
    Refused,
    RunFailed,
    TrainerHung,
    TrainerKilled,
    TrainingFailed,
)
from stsflow.tasks.ground.no_room import SAYS_DISK_FULL
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.checkpoints import steps_of
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.memory import memory_remedy
from stsflow.tasks.training.processes import KILLED
from stsflow.tasks.training.request import WorkerSpec
from stsflow.tasks.training.worker import Failure

ROWS_NAMED = 32
"""Of a batch that failed, in a message."""


def why_it_failed(
    spec: WorkerSpec, folder: TrainingFolder, ended: Ended, said: Failure | None, *, hung: bool
) -> RunFailed | Refused:
    """Why the attempt left no model, as an error with the place, the reason and the last lines of the log."""
    where = f"{standing(folder)} The log is {folder.log}; it ends:\n{last_lines(folder.log)}"
    if ended.stopped:
        kind = TrainerHung if hung else TrainingFailed
        return kind(f"The trainer was stopped: {ended.stopped}. {where}")
    if ended.lost:
        return TrainerKilled(f"The trainer was lost with its parent on another host: {ended.lost}. {where}")
    if said is None and SAYS_DISK_FULL in last_lines(folder.log):
        return DiskFull(f"The disk of {folder.root} is full. {where}")
    number = ended.code - KILLED
    if launcher_of(spec.request.training).starts_again and number > 0:  # what the others said of it is a consequence
        return TrainerKilled(
            f"A process of the training was ended by signal {number}, which stsflow did not send. {where}"
        )
    if said is None and ended.code < 0:
        return TrainerKilled(
            f"The trainer was ended by signal {-ended.code}, which stsflow did not send (the system ends a process so "
            f"when memory runs out). {where}"
        )
    if said is None:
        return TrainingFailed(f"The trainer ended with exit code {ended.code} and no model. {where}")
    if said.code == "refused":
        return PreconditionError(said.message)
    if said.code == "out_of_memory":
        remedy = memory_remedy(spec, said.set)
        return OutOfMemory(f"Out of memory{in_batch(said)}: {said.message}. {remedy} {where}")
    if said.code == "loss_not_finite":
        return LossNotFinite(f"Training stopped{in_batch(said)}: {said.message}. {where}")
    if said.code == "disk_full":
        return DiskFull(f"The disk of {folder.root} is full: {said.message}. {where}")
    return TrainingFailed(f"The trainer failed: {said.message}. {where}")


def in_batch(said: Failure) -> str:
    """Set, batch and rows of the batch that failed, in words."""
    if said.batch is None:
        return ""
    of_set = f" of {said.set}" if said.set else ""
    shown, more = said.rows[:ROWS_NAMED], len(said.rows) - ROWS_NAMED
    rest = f" and {more:,} more" if more > 0 else ""
    rows = f" (rows {', '.join(map(str, shown))}{rest})" if said.rows else ""
    return f" in batch {said.batch} of epoch {said.epoch}{of_set}{rows}"


def standing(folder: TrainingFolder) -> str:
    """Where the training can go on from."""
    steps = steps_of(folder.checkpoints)
    if not steps:
        return "There is no checkpoint yet."
    return f"The last checkpoint, of step {steps[-1]}, is kept: the same command goes on from there."
