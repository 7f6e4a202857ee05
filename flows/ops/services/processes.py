"""The processes behind the services: which they are, and ending them with all that they started."""

from __future__ import annotations

import signal
from collections.abc import Iterable

import psutil

from stsflow.flows.ops.services import supervisor
from stsflow.flows.ops.services.settings import MARK_SUFFIX, Mark, record_path
from stsflow.tasks.ground.workspace import Workspace

GRACE_SECONDS = 45.0


def end_services(workspace: Workspace) -> tuple[str, ...]:
    """End the manager and everything below it, or what a killed one left behind; return the names of the services."""
    manager = supervisor.ask(workspace)
    ended: tuple[str, ...] = ()
    if manager is not None:
        ended = tuple(sorted(supervisor.states(manager)))
        family = _family([int(manager.getPID())])
        manager.shutdown()
        _, alive = psutil.wait_procs(family, timeout=GRACE_SECONDS)
        _end(alive)
    left = end_leftovers(workspace)
    record_path(workspace).unlink(missing_ok=True)
    supervisor.socket_path(workspace).unlink(missing_ok=True)
    return ended or left


def end_leftovers(workspace: Workspace) -> tuple[str, ...]:
    """End services whose marks name a living process with the same start time: what a killed manager left behind."""
    ended = []
    for path in sorted(workspace.services.glob(f"*{MARK_SUFFIX}")):
        mark = Mark.load_or_none(path)  # a damaged one names nobody
        if mark is not None and (process := _process_of(mark)) is not None:
            _end(_family([process.pid]))
            ended.append(path.name.removesuffix(MARK_SUFFIX))
        path.unlink(missing_ok=True)
    return tuple(ended)


def _process_of(mark: Mark) -> psutil.Process | None:
    """The process that left the mark, while it lives."""
    try:
        process = psutil.Process(mark.pid)
        ours = abs(process.create_time() - mark.started) < 0.05
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # no process of that number, or no number of a process
        return None


def _family(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and all that they started, as they stand now."""
    found: list[psutil.Process] = []
    for pid in pids:
        try:
            head = psutil.Process(pid)
            found += [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def _end(processes: list[psutil.Process]) -> None:
    """SIGTERM, then SIGKILL for those that stay. psutil checks the start time, so a reused id is never hit."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, processes = psutil.wait_procs(processes, timeout=patience)
