"""Run a training in its own process, watch it, and hand back its record.

`train_in_child` may be called again after anything at all: a finished training is found and returned, an interrupted
one goes on from its last whole checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from stsflow.tasks.ground.child import Ended, python_module, run_child
from stsflow.tasks.ground.errors import OutOfMemory, Refused, RunFailed
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.checkpoints import steps_of
from stsflow.tasks.training.disk import check_disk
from stsflow.tasks.training.events import Event, EventLog, EventReader, read_events
from stsflow.tasks.training.failed import why_it_failed
from stsflow.tasks.training.memory import what_changes, with_less_memory
from stsflow.tasks.training.request import WORKER, TrainingRequest, WorkerSpec
from stsflow.tasks.training.watch import Watch
from stsflow.tasks.training.worker import Failure, failure_file

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25


def train_in_child(
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
    watch = Watch(EventReader(folder.events, after_seq), on_event, should_stop)
    finished = finished_training(request, folder)
    if finished is not None:
        watch.relay()
        return finished
    check_disk(request.base, request.training, folder.root, len(steps_of(folder.checkpoints)))
    spec = first_spec(request, folder)
    while True:
        watch.relay()
        ended = attempt(spec, folder, watch)
        if folder.result.is_file():
            return TrainedModel.load(folder.result)
        said = Failure.load_or_none(failure_file(folder))
        error = why_it_failed(spec, folder, ended, said, hung=watch.hung)
        lighter = with_less_memory(spec, said.set if said else None) if isinstance(error, OutOfMemory) else None
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
        logger.warning("the model in %s is trained again: it is not what was recorded", folder.root)
        return None
    return result.model_copy(update={"reused": True, "folder": folder.root, "model": folder.model})


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
