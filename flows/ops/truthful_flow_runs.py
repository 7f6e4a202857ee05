"""At the start of a flow: what a killed process left running in Prefect is ended truthfully, its slot given back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking import flow_runs
from stsflow.tasks.tracking.reconcile import flow_runs_left_behind

logger = logging.getLogger(__name__)


@contextmanager
def truthful_in_prefect(workspace: Workspace, flow_run_id: str) -> Iterator[None]:
    """Settle what dead processes of this workspace left behind, then keep a note of this flow run while it runs."""
    settle_dead_flow_runs(workspace)
    with flow_runs.noted(workspace, flow_run_id):
        yield


def settle_dead_flow_runs(workspace: Workspace) -> list[str]:
    """Set flow runs whose process is gone to Crashed and free the slots they hold; return their ids.

    A run that this server does not know (it was another server's) keeps its note.
    """
    if not flow_runs_left_behind(workspace):
        return []
    settled = []
    with lease(workspace.lease("flow-runs")), get_client(sync_client=True) as client:
        for note in flow_runs_left_behind(workspace):
            try:
                _crash(client, UUID(note.flow_run_id), note.process_id)
            except ObjectNotFound:
                continue
            if note.slot:
                client.release_concurrency_slots_with_lease(UUID(note.slot))
            flow_runs.forget(workspace, note.flow_run_id)
            settled.append(note.flow_run_id)
            logger.warning(
                "the flow run %s was left running by process %d, which is gone; it is marked as crashed",
                note.flow_run_id, note.process_id,
            )  # fmt: skip
    return settled


@contextmanager
def cancelled_when_stopped(workspace: Workspace) -> Iterator[None]:
    """In a command: when a person stops the block (Ctrl-C, SIGTERM), its flow runs are Cancelled, not Crashed.

    Only the command line knows that: under a worker the same signal may be the machine's end, and Prefect itself tells
    a cancelled run from that.
    """
    try:
        yield
    except KeyboardInterrupt:
        with get_client(sync_client=True) as client:
            for note in flow_runs.own(workspace):
                stopped: State[None] = Cancelled(message="Stopped from the terminal; the same command continues it.")
                client.set_flow_run_state(UUID(note.flow_run_id), stopped, force=True)
                flow_runs.forget(workspace, note.flow_run_id)
        raise


def _crash(client: SyncPrefectClient, flow_run_id: UUID, process_id: int) -> None:
    run = client.read_flow_run(flow_run_id)
    message = f"The process {process_id} that worked on it is gone; the next run of the recipe continues it."
    tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
    for task_run in tasks:
        if task_run.state is None or not task_run.state.is_final():
            client.set_task_run_state(task_run.id, Crashed(message=message), force=True)
    if run.state is None or not run.state.is_final():
        client.set_flow_run_state(flow_run_id, Crashed(message=message), force=True)
