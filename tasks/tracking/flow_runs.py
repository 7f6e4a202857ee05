"""Flow runs that a process of this workspace is at work on, noted on disk while it is.

A killed process cannot tell Prefect that it ended, nor give its training slot back. Its note stays behind, and the next
start does both for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stsflow.tasks.ground.process import is_alive, this_process
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace


class FlowRunNote(Record):
    """One flow run, and who works on it."""

    flow_run_id: str
    process_id: int
    process_started: float
    """Seconds since 1970 when that process started: process ids are used again."""
    host: str
    slot: str | None = None
    """Lease of the training slot that it holds."""


@contextmanager
def noted(workspace: Workspace, flow_run_id: str) -> Iterator[None]:
    """Keep a note of the flow run while the block works on it.

    It stays when a person stops the block (an exception that is no Exception): whoever catches that can then say so.
    """
    if not flow_run_id:  # a flow's function that was called without its flow
        yield
        return
    path = note_path(workspace, flow_run_id)
    FlowRunNote(flow_run_id=flow_run_id, **this_process()).write(path)
    try:
        yield
    except Exception:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def note_slot(workspace: Workspace, flow_run_id: str, lease: str | None) -> None:
    """Add to the note which slot the flow run holds now; does nothing where there is no note."""
    path = note_path(workspace, flow_run_id)
    if flow_run_id and path.exists():
        FlowRunNote(flow_run_id=flow_run_id, slot=lease, **this_process()).write(path)


def left_behind(workspace: Workspace) -> list[FlowRunNote]:
    """Notes whose process is gone. One that is damaged is passed over; the log names it."""
    return [note for note in _notes(workspace) if not is_alive(note.process_id, note.process_started, note.host)]


def own(workspace: Workspace) -> list[FlowRunNote]:
    """Notes of this very process."""
    return [note for note in _notes(workspace) if note.process_id == os.getpid()]


def note_of(workspace: Workspace, flow_run_id: str) -> FlowRunNote | None:
    """The note of a flow run; None when there is none that can be read."""
    return FlowRunNote.load_or_none(note_path(workspace, flow_run_id)) if flow_run_id else None


def damaged_notes(workspace: Workspace) -> list[Path]:
    """Notes that cannot be read."""
    return [path for path in sorted(workspace.flow_runs.glob("*.json")) if FlowRunNote.load_or_none(path) is None]


def _notes(workspace: Workspace) -> list[FlowRunNote]:
    found = (FlowRunNote.load_or_none(path) for path in sorted(workspace.flow_runs.glob("*.json")))
    return [note for note in found if note is not None]


def forget(workspace: Workspace, flow_run_id: str) -> None:
    """Remove the note."""
    note_path(workspace, flow_run_id).unlink(missing_ok=True)


def note_path(workspace: Workspace, flow_run_id: str) -> Path:
    """Where the note of a flow run lies."""
    return workspace.flow_runs / f"{flow_run_id}.json"
