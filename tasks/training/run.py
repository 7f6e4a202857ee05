"""Run a training in its own process, watch it, and hand back its record.

`train` may be called again after anything at all: a finished training is found and returned, an interrupted one goes on
from its last whole checkpoint.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stsflow.tasks.ground.child import Ended, last_lines, python_module, run_child
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
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.checkpoints import steps_of
from stsflow.tasks.training.events import Event, EventLog, EventReader, read_events
from stsflow.tasks.training.request import WORKER, TrainingRequest, WorkerSpec
from stsflow.tasks.training.worker import Failure, failure_file

TICK_SECONDS = 0.25
ROWS_NAMED = 32
"""Of a batch that failed, in a message."""
BYTES_OF_STATE = 12
"""Of a checkpoint, for each parameter: a float32 weight and AdamW's two moments."""


def train(
    request: TrainingRequest,
    folder: TrainingFolder,
    *,
    on_event: Callable[[list[Event]], None] = lambda _: None,
    should_stop: Callable[[], str | None] = lambda: None,
    after_seq: int = 0,
) -> TrainedModel:
    """The finished training of `request`, in `folder` (found by `request.fingerprint`).

    `on_event` gets the events numbered above `after_seq` in batches, those of earlier attempts first, and those of a
    training that was found finished too. `should_stop` is asked several times a second; a sentence from it ends the
    trainer. Whatever ends this call ends every trainer process with it; the last checkpoint stays.

    Raises OutOfMemory, LossNotFinite, TrainerHung, TrainerKilled, DiskFull, or TrainingFailed for anything else, each
    with the last lines of the trainer's log; a Refused (exit code 2) for what is found wrong before the first step.
    """
    watch = Watch(folder, EventReader(folder.events, after_seq), on_event, should_stop)
    finished = finished_training(request, folder)
    if finished is not None:
        watch.relay()
        return finished
    check_room(request, folder)
    spec = first_spec(request, folder)
    while True:
        watch.relay()
        ended = attempt(spec, folder, watch)
        if folder.result.is_file():
            return TrainedModel.load(folder.result)
        error = failure(spec, folder, ended, watch.hung)
        lighter = with_less_memory(spec, folder) if isinstance(error, OutOfMemory) else None
        record_failure(spec, folder, error, lighter)
        watch.relay()
        if lighter is None:
            raise error
        spec = lighter


def finished_training(request: TrainingRequest, folder: TrainingFolder) -> TrainedModel | None:
    """The record of a training that is done and whose model is still what was recorded (`reused`); else None."""
    result = TrainedModel.load_or_none(folder.result)
    if result is None or result.fingerprint != request.fingerprint or not folder.model.is_dir():
        return None
    if sha256_of_model(folder.model) != result.model_digest:
        return None
    return result.model_copy(update={"reused": True, "folder": folder.root, "model": folder.model})


def check_room(request: TrainingRequest, folder: TrainingFolder) -> None:
    """Refuse (PreconditionError) when the disk cannot hold the checkpoints and the model."""
    parameters, keep = request.base.parameters, request.training.keep_checkpoints
    one = BYTES_OF_STATE * parameters
    there = len(steps_of(folder.checkpoints))
    needed = max(keep + 2 - there, 1) * one + 4 * parameters
    folder.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.root).free
    if free < needed:
        raise PreconditionError(
            f"The disk of {folder.root} has {free / 2**30:.2f} GiB free; {keep + 2} checkpoints of "
            f"{one / 2**30:.2f} GiB (training.keep_checkpoints: {keep}, the best one, and the one being written) and "
            f"the model need {needed / 2**30:.2f} GiB."
        )


def first_spec(request: TrainingRequest, folder: TrainingFolder) -> WorkerSpec:
    """The spec of the next attempt; what an earlier one had to do to fit the memory stays."""
    earlier = WorkerSpec.load_or_none(folder.spec)
    same = earlier is not None and earlier.fingerprint == request.fingerprint
    return WorkerSpec(
        request=request,
        fingerprint=request.fingerprint,
        folder=folder.root.absolute(),
        attempt=next_attempt(folder),
        parts=earlier.parts if earlier and same else {},
        lighter_losses=earlier.lighter_losses if earlier and same else {},
    )


def next_attempt(folder: TrainingFolder) -> int:
    """Number of the next trainer process of this training."""
    events = read_events(folder.events)
    return max((event.attempt for event in events), default=0) + 1


@dataclass
class Watch:
    """What the watching process does between two looks at the trainer."""

    folder: TrainingFolder
    reader: EventReader
    on_event: Callable[[list[Event]], None]
    should_stop: Callable[[], str | None]
    hang_timeout: float = float("inf")
    timeout: float | None = None
    hung: bool = False
    _started: float = field(default_factory=time.monotonic)
    _heard: float = field(default_factory=time.monotonic)

    def begin(self, hang_timeout: float, timeout: float | None) -> None:
        """An attempt starts now."""
        self.hang_timeout, self.timeout, self.hung = hang_timeout, timeout, False
        self._started = self._heard = time.monotonic()

    def relay(self) -> bool:
        """Pass on new events; whether there were any."""
        events = self.reader.new()
        if events:
            self.on_event(events)
        return bool(events)

    def tick(self) -> str | None:
        """Pass on new events; a sentence when the trainer has to be stopped."""
        if self.relay():
            self._heard = time.monotonic()
        if reason := self.should_stop():
            return reason
        silent = time.monotonic() - self._heard
        if silent > self.hang_timeout:
            self.hung = True
            return f"no event for {silent:.0f} seconds (training.hang_timeout_seconds: {self.hang_timeout:g})"
        if self.timeout is not None and time.monotonic() - self._started > self.timeout:
            return f"training.timeout_seconds ({self.timeout:g}) is over"
        return None


def attempt(spec: WorkerSpec, folder: TrainingFolder, watch: Watch) -> Ended:
    """Start the trainer process (or processes) for `spec` and watch to the end."""
    folder.result.unlink(missing_ok=True)
    failure_file(folder).unlink(missing_ok=True)
    spec.write(folder.spec)
    config = spec.request.training
    module = [WORKER] if config.processes == 1 else ["stsflow.tasks.training.processes", str(config.processes)]
    watch.begin(config.hang_timeout_seconds, config.timeout_seconds)
    return run_child(
        python_module(module[0], *module[1:], str(folder.spec)),
        folder.log,
        environment=worker_environment(spec),
        on_tick=watch.tick,
        tick_seconds=TICK_SECONDS,
    )


def worker_environment(spec: WorkerSpec) -> dict[str, str]:
    """Variables for the trainer process."""
    config = spec.request.training
    return process_environment(config.threads, processes=config.processes)


def failure(spec: WorkerSpec, folder: TrainingFolder, ended: Ended, hung: bool) -> RunFailed | Refused:
    """Why the attempt left no model, as an error with the place, the reason and the last lines of the log."""
    where = f"{standing(folder)} The log is {folder.log}; it ends:\n{last_lines(folder.log)}"
    if ended.stopped:
        kind = TrainerHung if hung else TrainingFailed
        return kind(f"The trainer was stopped: {ended.stopped}. {where}")
    said = Failure.load_or_none(failure_file(folder))
    if said is None and "No space left on device" in last_lines(folder.log):
        return DiskFull(f"The disk of {folder.root} is full. {where}")
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


def with_less_memory(spec: WorkerSpec, folder: TrainingFolder) -> WorkerSpec | None:
    """The next attempt after running out of memory, with half the micro-batch; None when that is not to be had."""
    if spec.request.training.on_out_of_memory == "fail":
        return None
    said = Failure.load_or_none(failure_file(folder))
    name = said.set if said else None
    names = [name] if name else list(spec.request.losses)
    parts, losses = dict(spec.parts), dict(spec.lighter_losses)
    for one in names:
        loss = spec.loss_of(one)
        smaller = loss.lighter()
        if loss.is_mean_of_rows and micro_batch(spec, one) > 1:
            parts[one] = 2 * parts.get(one, 1)
        elif smaller is not None:
            losses[one] = smaller
        elif name:
            return None
    if (parts, losses) == (spec.parts, spec.lighter_losses):
        return None
    update = {"parts": parts, "lighter_losses": losses, "attempt": spec.attempt + 1}
    return spec.model_copy(update=update)


def micro_batch(spec: WorkerSpec, name: str) -> int:
    """Rows of set `name` that go through the model at a time."""
    config = spec.request.training
    return max(config.batch_sizes.get(name, config.batch_size) // spec.parts.get(name, 1), 1)


def memory_remedy(spec: WorkerSpec, name: str | None) -> str:
    """What to change in the recipe when the memory cannot be made to do."""
    losses = [spec.loss_of(one) for one in ([name] if name else spec.request.losses)]
    remedies = dict.fromkeys(loss.memory_remedy for loss in losses if loss.memory_remedy)
    return " ".join(remedies) or (
        "Use a smaller batch_size, a smaller model.max_seq_length, or gradient_checkpointing: true."
    )


def record_failure(
    spec: WorkerSpec, folder: TrainingFolder, error: RunFailed | Refused, lighter: WorkerSpec | None
) -> None:
    """Write the failure, and what the next attempt does about it, into the event log."""
    try:
        log = EventLog(folder.events, spec.attempt)
        try:
            log.write("failure", text=error.message, details={"kind": type(error).__name__})
            if lighter:
                for name in spec.request.losses:
                    change = what_changes(spec, lighter, name)
                    if change:
                        log.write("finding", text=change, details={"code": "training.out_of_memory"})
        finally:
            log.close()
    except OSError:
        return  # the disk is full: the error itself still reaches the person


def what_changes(before: WorkerSpec, after: WorkerSpec, name: str) -> str:
    """What an attempt does differently with set `name` for want of memory, in words; empty for nothing."""
    if after.parts.get(name, 1) != before.parts.get(name, 1):
        return (
            f"out of memory: batches of {name} are computed {micro_batch(after, name)} rows at a time instead of "
            f"{micro_batch(before, name)}, and their gradients added up; the loss is the same"
        )
    if after.loss_of(name) != before.loss_of(name):
        return f"out of memory: the loss of {name} encodes half as many rows at a time as before; its value is the same"
    return ""
