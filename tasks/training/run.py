"""Run a training in its own process, watch it, and hand back its record.

`train_in_child` may be called again after anything at all: a finished training is found and returned, an interrupted
one goes on from its last whole checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from stsflow.tasks.ground.child import Ended, run_child
from stsflow.tasks.ground.errors import OutOfMemory, Refused, RunFailed, TrainerHung, TrainerKilled, TrainingFailed
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.checkpoints import steps_of
from stsflow.tasks.training.disk import check_disk
from stsflow.tasks.training.events import Event, EventLog, EventReader, read_events
from stsflow.tasks.training.failed import why_it_failed
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.memory import what_changes, with_less_memory
from stsflow.tasks.training.request import TrainingRequest, WorkerSpec
from stsflow.tasks.training.watch import Watch
from stsflow.tasks.training.worker import Failure, failure_file

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25


def run_trainer(spec: WorkerSpec, folder: TrainingFolder, on_tick: Callable[[], str | None]) -> Ended:
    """Run the trainer process (or processes) for `spec`, which lies in `folder`, on this host; how it ended.

    `on_tick` is called several times a second; a sentence from it stops them.
    """
    return run_child(
        launcher_of(spec.request.training).command(folder.spec),
        folder.log,
        environment=worker_environment(spec),
        on_tick=on_tick,
        tick_seconds=TICK_SECONDS,
    )


def train_here(spec: WorkerSpec, folder: TrainingFolder, watch: Watch) -> Ended:
    """The trainer on this host, watched; how it ended."""
    return run_trainer(spec, folder, watch.tick)


def train_in_child(
    request: TrainingRequest,
    folder: TrainingFolder,
    *,
    start: Callable[[WorkerSpec, TrainingFolder, Watch], Ended] = train_here,
    on_event: Callable[[list[Event]], None] = lambda _: None,
    should_stop: Callable[[], str | None] = lambda: None,
    after_seq: int = 0,
) -> TrainedModel:
    """The finished training of `request`, in `folder` (found by `request.fingerprint`).

    `on_event` gets the events numbered above `after_seq` in batches, those of earlier attempts first, and those of a
    training that was found finished too. `start` runs the trainer of an attempt, somewhere that sees `folder`, and
    watches it to its end. `should_stop` is asked several times a second; a sentence from it ends the
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
    spec, restarts = first_spec(request, folder), 0
    while True:
        watch.relay()
        folder.result.unlink(missing_ok=True)
        failure_file(folder).unlink(missing_ok=True)
        spec.write(folder.spec)
        watch.begin(request.training.hang_timeout_seconds, request.training.timeout_seconds)
        ended = start(spec, folder, watch)
        if folder.result.is_file():
            return TrainedModel.load(folder.result)
        said = Failure.load_or_none(failure_file(folder))
        error = why_it_failed(spec, folder, ended, said, hung=watch.hung)
        following = with_less_memory(spec, said.set if said else None) if isinstance(error, OutOfMemory) else None
        if following is None and goes_on_by_itself(request, error, ended, restarts):
            following, restarts = spec.model_copy(update={"attempt": spec.attempt + 1}), restarts + 1
        record_failure(spec, folder, error, following)
        watch.relay()
        if following is None:
            raise error
        spec = following


def goes_on_by_itself(request: TrainingRequest, error: RunFailed | Refused, ended: Ended, restarts: int) -> bool:
    """Whether another attempt follows: when the host is gone, or one of several processes ended or hung; some times.

    Which of several failed first cannot always be told, as the others fail with it.
    """
    config = request.training
    if restarts >= config.max_restarts:
        return False
    if ended.lost:
        return True
    if not launcher_of(config).starts_again:
        return False
    one_ended = isinstance(error, TrainerKilled) or (type(error) is TrainingFailed and ended.stopped is None)
    return one_ended or isinstance(error, TrainerHung)


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


def brief(error: RunFailed | Refused) -> str:
    """The first sentence of the error."""
    return error.message.partition(". ")[0]


def worker_environment(spec: WorkerSpec) -> dict[str, str]:
    """Variables for the trainer process."""
    config = spec.request.training
    return process_environment(config.threads, processes=launcher_of(config).processes)


def record_failure(
    spec: WorkerSpec, folder: TrainingFolder, error: RunFailed | Refused, following: WorkerSpec | None
) -> None:
    """Write the failure, and what the next attempt does about it, into the event log."""
    try:
        log = EventLog(folder.events, spec.attempt)
        try:
            log.write("failure", text=error.message, details={"kind": type(error).__name__})
            for name in spec.request.losses if following else ():
                if following and (change := what_changes(spec, following, name)):
                    log.write("finding", text=change, details={"code": "training.out_of_memory"})
            if following and not isinstance(error, OutOfMemory):
                text = f"attempt {spec.attempt} ended before its time; the training went on by itself: {brief(error)}"
                log.write("finding", text=text, details={"code": "training.started_again"})
        finally:
            log.close()
    except OSError:
        return  # the disk is full: the error itself still reaches the person
