"""Prefect tasks of the training stage."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from http import HTTPStatus
from uuid import UUID

import httpx
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.files import folder_made_whole, link_or_copy, write_bytes_atomically
from stsflow.tasks.ground.lease import one_of
from stsflow.tasks.ground.workspace import RunFolder, TrainingFolder, Workspace
from stsflow.tasks.made.folder import held
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.tracking import entries
from stsflow.tasks.tracking.flow_runs import note_slot
from stsflow.tasks.tracking.journal import Journal
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.runs import note_training, state_of
from stsflow.tasks.tracking.system import SystemMetrics
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.failed import standing
from stsflow.tasks.training.progress import ProgressLine
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.trial import try_trainer

logger = logging.getLogger(__name__)

# The shortest that a server grants. A killed holder's slot comes free at the next start in its workspace; where there
# is none, when this is over.
SLOT_LEASE_SECONDS = 60
SLOT_RENEWAL_SECONDS = 15.0
SLOT_POLL_SECONDS = 2.0
SLOT_PATIENCE_SECONDS = 300.0  # for a server that does not answer; a slot that is taken is waited for without end
PROGRESS_SECONDS = 5.0


@task(name="try the trainer", task_run_name="try the trainer")
def try_training(request: TrainingRequest, workspace: Workspace) -> None:
    """One step in a temporary folder; raises RecipeError for what the libraries refuse."""
    try_trainer(request, workspace)


@task(name="train", task_run_name="train {name}", cache_policy=NO_CACHE)  # a relay has no cache key
def train(
    name: str,  # noqa: ARG001 - Prefect puts it into the task run's name
    request: TrainingRequest,
    run: RunRef,
    relay: Relay,
    slot: str,
    fresh: bool,
    workspace: Workspace,
) -> TrainedModel:
    """The trained model; events go to MLflow through the relay and to a progress artifact while it trains.

    Holds the Prefect concurrency limit `slot` (one training at a time on a machine) and the training's own lease, so
    that two runs of one recipe never train the same thing twice. `name` is for the task run's name alone.
    """
    folder = workspace.training(request.fingerprint)
    watcher = Watcher(relay.journal, request.choose.suite if request.choose else None)
    trained = _trained(request, folder, watcher, run, relay, slot, fresh, workspace)
    _place_in_run(trained, folder, RunFolder(run.folder))
    return trained


@task(name="train other seeds", task_run_name="train {recipe.name} under other seeds", cache_policy=NO_CACHE)
def train_other_seeds(
    recipe: RunConfig, request: TrainingRequest, run: RunRef, relay: Relay, fresh: bool, workspace: Workspace
) -> list[TrainedModel]:
    """The same training once more under each of `recipe.other_seeds`; the run's curves in MLflow are the first one's.

    Each is found again by content, goes on from its checkpoint, and waits for its slot, as the first does.
    """
    found = []
    for seed in recipe.other_seeds:
        again = request.model_copy(update={"training": request.training.model_copy(update={"seed": seed})})
        folder, slot = workspace.training(again.fingerprint), recipe.training.concurrency_limit
        logger.info("the same training under seed %d", seed)
        found.append(_trained(again, folder, Watcher(None, None), run, relay, slot, fresh, workspace))
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    note_training(RunFolder(run.folder), request.fingerprint)
    return found


def _trained(
    request: TrainingRequest, folder: TrainingFolder, watcher: Watcher, run: RunRef, relay: Relay, slot: str,
    fresh: bool, workspace: Workspace,
) -> TrainedModel:  # fmt: skip
    with held(workspace, "trainings", request.fingerprint, "the same training"):
        if fresh and run.attempt == 1:
            shutil.rmtree(folder.root, ignore_errors=True)
        state_of(run)
        note_training(RunFolder(run.folder), request.fingerprint)
        if TrainedModel.load_or_none(folder.result) is not None:
            trained = train_in_child(request, folder, on_event=watcher.record)
        else:
            with training_slot(slot, workspace, run.flow_run_id), relay.in_background():
                trained = _watched(request, folder, watcher)
    watcher.close()
    logger.info(
        "trained %s steps in %.0f s, mean loss %.4f%s", trained.steps, trained.train_seconds, trained.train_loss,
        " (reused: the same training had finished before)" if trained.reused else "",
    )  # fmt: skip
    return trained


def _watched(request: TrainingRequest, folder: TrainingFolder, watcher: Watcher) -> TrainedModel:
    try:
        return train_in_child(request, folder, on_event=watcher.see)
    except BaseException as stop:
        if not isinstance(stop, Exception):
            watcher.close()
            logger.warning("stopped; the trainer is ended and its slot is free. %s", standing(folder))
        raise


def _place_in_run(trained: TrainedModel, folder: TrainingFolder, run: RunFolder) -> None:
    """Make model, events and log part of the run's own folder; the weights are hard links, not copies.

    Checkpoints have done their work when the training is finished; with AdamW each is three times the model.
    """
    if not run.model.is_dir():
        with folder_made_whole(run.model) as target:
            link_or_copy(trained.model, target)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    if folder.adapter.is_dir():
        link_or_copy(folder.adapter, run.training / folder.adapter.name)
    for path in (folder.events, folder.log, folder.spec):
        if path.exists():
            write_bytes_atomically(run.training / path.name, path.read_bytes())


@contextmanager
def training_slot(name: str, workspace: Workspace, flow_run_id: str) -> Iterator[None]:
    """Hold one slot of the Prefect concurrency limit `name`, made with one slot when it is missing; "" holds none.

    A place of this workspace is held first. It keeps two trainings apart even when the server has been away for so long
    that it took the slot back, and the system frees it with its process.
    """
    if not name:
        yield
        return
    with get_client(sync_client=True) as client:
        slots = _slots(client, name)
        key = re.sub(r"\W", "-", name)
        places = [workspace.lease(f"slot-{key}-{number}") for number in range(max(slots, 1))]
        with one_of(places, on_wait=lambda _: logger.info("waiting for a free training slot (%s)", name)):
            lease_id = _take_slot(client, name, flow_run_id)
            note_slot(workspace, flow_run_id, str(lease_id))
            with _renewed(name, lease_id, flow_run_id):
                yield
    note_slot(workspace, flow_run_id, None)


def _slots(client: SyncPrefectClient, name: str) -> int:
    """How many slots the limit has. It is asked for first: making one that is there is an error in the server's log."""
    try:
        return client.read_global_concurrency_limit_by_name(name).limit
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):  # another run was first
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        return client.read_global_concurrency_limit_by_name(name).limit


def _take_slot(client: SyncPrefectClient, name: str, flow_run_id: str) -> UUID:
    """The lease of a slot; waits while none is free, and for a server that cannot answer just now.

    A server on SQLite says 503 when another request holds its database ("database is locked"); its transaction is
    rolled back then. A request without any answer may have taken the slot, which the embedded server would never give
    back: that one is raised.
    """
    told, silent_since = False, time.monotonic()
    while True:
        try:
            lease_id = _try_to_take(client, name, flow_run_id)
            silent_since = time.monotonic()
        except httpx.HTTPError as error:
            if not _was_refused(error) or time.monotonic() - silent_since > SLOT_PATIENCE_SECONDS:
                raise
            logger.debug("the Prefect server could not say whether a slot is free: %s", error)
            lease_id = None
        if lease_id is not None:
            return lease_id
        if not told:
            logger.info("waiting for a free training slot (the concurrency limit %s in Prefect)", name)
            told = True
        time.sleep(SLOT_POLL_SECONDS)  # the server has no way to call us


def _was_refused(error: httpx.HTTPError) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))


def _try_to_take(client: SyncPrefectClient, name: str, flow_run_id: str) -> UUID | None:
    holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(flow_run_id)) if flow_run_id else None
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):  # "locked" is an answer, not a failure to retry
            answer = client.increment_concurrency_slots_with_lease(
                names=[name], slots=1, mode="concurrency", lease_duration=SLOT_LEASE_SECONDS, holder=holder
            ).json()
    except PrefectHTTPStatusError as error:
        if error.response.status_code == HTTPStatus.LOCKED:
            return None
        raise
    if not answer["limits"]:
        raise PreconditionError(f"the Prefect server has no concurrency limit {name!r} (training.concurrency_limit)")
    return UUID(answer["lease_id"])


@contextmanager
def _renewed(name: str, lease_id: UUID, flow_run_id: str) -> Iterator[None]:
    """Renew the lease from a thread while the block runs; give the slot back at its end.

    A server that is away is asked again later; a training does not stop for it.
    """
    stop = threading.Event()
    held = [lease_id]

    def renew() -> None:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
            while not stop.wait(SLOT_RENEWAL_SECONDS):
                try:
                    held[0] = _renew_or_take(client, name, held[0], flow_run_id)
                except httpx.HTTPError as error:
                    logger.debug("the slot's lease was not renewed: %s", error)

    thread = threading.Thread(target=copy_context().run, args=(renew,), name="slot-renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5.0)
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 2}), get_client(sync_client=True) as client:
                client.release_concurrency_slots_with_lease(held[0])
        except httpx.HTTPError as error:
            logger.warning("Prefect is away; the training slot comes free within %d s (%s)", SLOT_LEASE_SECONDS, error)


def _renew_or_take(client: SyncPrefectClient, name: str, lease_id: UUID, flow_run_id: str) -> UUID:
    try:
        client.renew_concurrency_lease(lease_id, SLOT_LEASE_SECONDS)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.GONE:
            raise
        return _try_to_take(client, name, flow_run_id) or lease_id  # the server took it back while it was away
    return lease_id


class Watcher:
    """Takes the trainer's events to the journal, if it has one, the terminal and Prefect's progress artifact."""

    def __init__(self, journal: Journal | None, suite: str | None) -> None:
        self.journal, self.suite = journal, suite
        self.relayed = journal.last_event if journal else 0
        self.line = ProgressLine()
        self.machine = SystemMetrics(journal) if journal is not None else None
        self.artifact: UUID | None = None
        self.shown_at = 0.0

    def see(self, events: list[Event]) -> None:
        """Journal and show what is new: a run that goes on gets the events of its earlier attempts once more."""
        for event in self._journal_new(events):
            self.line.show(event)
        if self.machine is not None:
            self.machine.sample()
        progress = next((event for event in reversed(events) if event.kind == "progress"), None)
        if progress is not None and time.monotonic() - self.shown_at > PROGRESS_SECONDS:
            self._show_in_prefect(progress)

    def record(self, events: list[Event]) -> None:
        """Journal what is new, and show nothing."""
        self._journal_new(events)

    def _journal_new(self, events: list[Event]) -> list[Event]:
        new = [event for event in events if event.seq > self.relayed]
        if new and self.journal is not None:  # an empty one is false
            metrics = entries.training_events(new, self.suite)
            if metrics is not None and metrics.points:
                self.journal.append_new_points(metrics)
        self.relayed = max([self.relayed, *(event.seq for event in new)])
        return new

    def close(self) -> None:
        """End the progress line; the artifact ends at 100 %."""
        self.line.close()
        if self.artifact is not None:
            self._update(100.0)

    def _show_in_prefect(self, event: Event) -> None:
        self.shown_at = time.monotonic()
        total = event.values.get("total_steps", 0.0)
        share = 100.0 * (event.step or 0) / total if total else 0.0
        self._update(min(share, 100.0))

    def _update(self, share: float) -> None:
        try:
            if self.artifact is None:
                self.artifact = create_progress_artifact(
                    progress=share, key="training", description="Training progress"
                )  # type: ignore[assignment]  # it says that it may be a coroutine, which it is for async callers
            else:
                update_progress_artifact(self.artifact, progress=share)
        except Exception as error:  # a server that is away must not cost a training; Prefect raises many kinds
            logger.debug("the progress artifact was not updated: %s", error)
