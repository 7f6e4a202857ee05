"""What a killed process left of its runs: marked as crashed, completed in MLflow, made again where it is damaged."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.records.run import RunState
from stsflow.tasks.tracking import flow_runs
from stsflow.tasks.tracking.flow_runs import FlowRunNote
from stsflow.tasks.tracking.journal import Finish, Journal, Tags, milliseconds
from stsflow.tasks.tracking.relay import DAMAGED
from stsflow.tasks.tracking.runs import (
    damaged_runs,
    holder_is_alive,
    known_runs,
    reference,
    relay_of,
    trainer_log_lines,
)
from stsflow.tasks.tracking.store import REASON, Store

logger = logging.getLogger(__name__)

Status = Literal["running", "finished", "failed", "cancelled", "crashed"]
ENDINGS: dict[Status, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "finished": "FINISHED", "failed": "FAILED", "cancelled": "KILLED",
}  # fmt: skip
"""How a run that ended by itself is called in MLflow. One that crashed is told to MLflow without the journal."""


def flow_runs_left_behind(workspace: Workspace) -> list[FlowRunNote]:
    """Notes of flow runs whose process is gone; where a note is damaged, by what run.json says of the flow run.

    A damaged note whose flow run came to no run.json yet is left: nobody can tell whether it is at work.
    """
    found = flow_runs.left_behind(workspace)
    damaged = flow_runs.damaged_notes(workspace)
    for _, state in known_runs(workspace) if damaged else ():
        gone = [path.stem for path in damaged if path.stem in state.flow_run_ids and not holder_is_alive(state)]
        holder = state.model_dump(include={"process_id", "process_started", "host"})
        found += [FlowRunNote(flow_run_id=flow_run_id, **holder) for flow_run_id in gone]
    return found


def reconcile(store: Store, workspace: Workspace) -> list[RunState]:
    """Mark runs whose process is gone as crashed, here and in MLflow; return them. Records left incomplete are sent.

    A killed process cannot say that it ended: its run would stay RUNNING for ever. Prefect's side of it is for the
    flow, which has a client. A run.json that cannot be read is made again from what MLflow knows. Whatever is wrong
    with one run's record is logged and stops no other.
    """
    crashed = []
    for folder, damage in damaged_runs(workspace):
        with _stopping_no_other(folder):
            _make_state_again(store, workspace, folder, damage)
    for folder, state in known_runs(workspace):
        if holder_is_alive(state):
            continue
        with _stopping_no_other(folder):
            if state.status == "running":
                crashed.append(_mark_as_crashed(store, workspace, folder, state))
            else:
                _complete_record(store, folder, state)
    return crashed


@contextmanager
def _stopping_no_other(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever MLflow or the disk raises, another run's record must not stop this one
        logger.warning("the record of %s could not be completed: %s", folder.root.name, error)


def _mark_as_crashed(store: Store, workspace: Workspace, folder: RunFolder, state: RunState) -> RunState:
    process = f"process {state.process_id}" if state.process_id else "process"
    reason = f"the {process} that worked on it is gone; the next run of this recipe continues it"
    if store.knows_run(state.mlflow_run_id):
        store.end_run(state.mlflow_run_id, "FAILED", reason, trainer_log_lines(workspace, state))
    new = state.model_copy(update={"status": "crashed", "reason": reason, "ended": datetime.now(UTC)})
    new.write(folder.state)
    logger.warning("%s was left running by a process that is gone; it is marked as crashed", state.name)
    return new


def _complete_record(store: Store, folder: RunFolder, state: RunState) -> None:
    """Send what MLflow lacks of a run that ended while it was away.

    A journal that lost its end (cut, or damaged there) gets it again from run.json, and MLflow is told.
    """
    relay = relay_of(store, reference(folder, state))
    journal = relay.journal
    if state.status in ENDINGS and not journal.is_ended:
        logger.warning(
            "the record of %s was cut: what is in MLflow stays, what it lacks is lost; running the recipe again makes "
            "a whole record and trains nothing twice", state.name,
        )  # fmt: skip
        ended = milliseconds(state.ended)
        journal.append(
            Tags(values={DAMAGED: f"the record on disk was cut and ends with entry {len(journal)}"}),
            Finish(status=ENDINGS[state.status], time=ended, reason=state.reason),
        )
    if journal.sent < len(journal):
        relay.flush()


def _make_state_again(store: Store, workspace: Workspace, folder: RunFolder, damage: str) -> None:
    """Write the run.json of a run anew from its MLflow run, its journal, and the note of its flow run.

    Where MLflow does not know the run it stays as it is; `stsflow doctor` names it.
    """
    run = store.run_named(folder.root.name)
    if run is None:
        logger.warning("%s; MLflow at %s has no run of that name, so it is left as it is", damage, store.shown_uri)
        return
    tags = run.data.tags
    flow_run_id = tags.get("prefect.flow_run_id", "")
    note = flow_runs.note_of(workspace, flow_run_id)
    holder = (
        {"process_id": 0, "process_started": 0.0, "host": socket.gethostname()} if note is None
        else note.model_dump(include={"process_id", "process_started", "host"})
    )  # fmt: skip
    state = RunState(
        name=folder.root.name, recipe_name=tags["stsflow.recipe"], recipe_sha256=tags["stsflow.recipe_sha256"],
        status=_ending(folder, run.info.status), mlflow_run_id=run.info.run_id, experiment_id=run.info.experiment_id,
        tracking_uri=store.shown_uri, flow_run_ids=(flow_run_id,) if flow_run_id else (),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC), reason=tags.get(REASON, ""),
        training=tags.get("stsflow.training_fingerprint"), **holder,
    )  # fmt: skip
    state.write(folder.state)
    logger.warning("%s; it is made again from MLflow's record: %s", damage, state.status)


def _ending(folder: RunFolder, tracked: str) -> Status:
    """How a run ended: by the end of its journal, else by MLflow's status."""
    last = [entry for _, entry in Journal(folder.journal).after(0)][-1:]
    status = last[0].status if last and isinstance(last[0], Finish) else tracked
    return next((ending for ending, name in ENDINGS.items() if name == status), "running")
