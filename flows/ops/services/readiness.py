"""When the services count as ready: each process runs, each server answers, each worker has told its server so."""

from __future__ import annotations

import time
from datetime import datetime

import httpx

from stsflow.flows.ops.services import supervisor
from stsflow.flows.ops.services.passwords import Auth
from stsflow.flows.ops.services.settings import Mark, Services, ServicesReport, mark_path, worker_name
from stsflow.tasks.ground.child import last_lines
from stsflow.tasks.ground.errors import DamagedRecord, PreconditionError
from stsflow.tasks.ground.workspace import Workspace

TRIES = 2
"""Starts of one service that `up` watches; a third one says that it will not stay."""


def wait_until_ready(
    workspace: Workspace, services: Services, auth: Auth | None, timeout_seconds: float, *, already: bool
) -> ServicesReport:
    """The services, all of them answering; `already` says that they ran before.

    Raises PreconditionError with the end of the log of what did not start, did not stay or did not answer in time.
    """
    deadline = time.monotonic() + timeout_seconds
    starts: dict[str, set[int]] = {name: set() for name in services.programs}
    while True:
        manager = supervisor.ask(workspace)
        if manager is None:
            raise PreconditionError(_does_not_start(workspace, "supervisord", "ended while the services started"))
        states = supervisor.states(manager)
        for name, pid in supervisor.pids(manager).items():
            starts[name] |= {pid} - {0}
            if states[name] == "FATAL" or len(starts[name]) > TRIES:
                raise PreconditionError(_does_not_start(workspace, name, "ended each time it was started"))
        waiting = [name for name, state in states.items() if state != "RUNNING"]
        waiting += [name for name, url in services.health_urls.items() if name not in waiting and not answers(url)]
        if not waiting:
            waiting = [f"worker-{pool}" for pool in services.pools if not _is_online(workspace, services, pool, auth)]
        if not waiting:
            return ServicesReport(
                services=services, already=already, states=states, ready=True, logs=workspace.services
            )
        if time.monotonic() > deadline:
            raise PreconditionError(
                _does_not_start(workspace, waiting[0], f"was not ready within {timeout_seconds:.0f} s")
            )
        time.sleep(0.3)  # supervisor and health checks answer only when asked


def _does_not_start(workspace: Workspace, name: str, what: str) -> str:
    log = workspace.services / f"{name}.log"
    return f"{name} {what}. The end of {log}:\n{last_lines(log, 12)}"


def answers(url: str) -> bool:
    """Whether a request of `url` is answered with status 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _is_online(workspace: Workspace, services: Services, pool: str, auth: Auth | None) -> bool:
    """Whether the pool's worker, this start of it, has told the Prefect server that it is there."""
    try:
        mark = Mark.load(mark_path(workspace, f"worker-{pool}"))
        answer = httpx.post(
            f"{services.prefect_api_url}/work_pools/{pool}/workers/filter",
            json={}, timeout=5, auth=(auth.user, auth.password) if auth else None,
        )  # fmt: skip
    except (DamagedRecord, httpx.HTTPError):
        return False
    if answer.status_code != 200:
        return False
    beats = [worker["last_heartbeat_time"] for worker in answer.json() if worker["name"] == worker_name(pool)]
    return any(beat and datetime.fromisoformat(beat).timestamp() >= mark.started for beat in beats)
