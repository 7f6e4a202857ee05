"""Notes of flow runs, and one lock of several."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from uuid import uuid4

import pytest

from stsflow.tasks.ground.lease import holder_of, lease, one_of
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking import flow_runs
from stsflow.tasks.tracking.flow_runs import FlowRunNote


def test_a_flow_run_is_noted_while_it_is_worked_on(workspace: Workspace) -> None:
    run = str(uuid4())
    with flow_runs.noted(workspace, run):
        flow_runs.note_slot(workspace, run, "lease")
        (note,) = flow_runs.own(workspace)
        assert (note.flow_run_id, note.slot) == (run, "lease")
        assert flow_runs.left_behind(workspace) == []
    assert flow_runs.own(workspace) == []


def test_a_failed_one_is_forgotten_and_a_stopped_one_is_not(workspace: Workspace) -> None:
    with pytest.raises(ValueError), flow_runs.noted(workspace, str(uuid4())):
        raise ValueError
    stopped = str(uuid4())
    with pytest.raises(KeyboardInterrupt), flow_runs.noted(workspace, stopped):
        raise KeyboardInterrupt
    assert [note.flow_run_id for note in flow_runs.own(workspace)] == [stopped]


def test_a_note_of_a_process_that_is_gone_is_found(workspace: Workspace) -> None:
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    with flow_runs.noted(workspace, "alive"):
        note = FlowRunNote.load(flow_runs.note_path(workspace, "alive"))
        dead = note.model_copy(update={"flow_run_id": "dead", "process_id": process.pid})
        dead.write(flow_runs.note_path(workspace, "dead"))
        elsewhere = note.model_copy(update={"flow_run_id": "elsewhere", "process_id": process.pid, "host": "another"})
        elsewhere.write(flow_runs.note_path(workspace, "elsewhere"))
        assert [one.flow_run_id for one in flow_runs.left_behind(workspace)] == ["dead"]
        flow_runs.forget(workspace, "dead")
        assert flow_runs.left_behind(workspace) == []


def test_as_many_hold_a_place_as_there_are_places(tmp_path: Path) -> None:
    places = [tmp_path / "a.lock", tmp_path / "b.lock"]
    with one_of(places) as first, one_of(places) as second:
        assert (first, second) == (places[0], places[1])

        def waits(_: str) -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError), one_of(places, on_wait=waits):
            pass
    with one_of(places) as again:
        assert again == places[0]


@pytest.mark.parametrize("damage", [None, b"", b"[]", b"{}", b'{"pid": "x"}'])
def test_who_holds_a_lock_is_known_while_it_is_held(tmp_path: Path, damage: bytes | None) -> None:
    lock = tmp_path / "start.lock"
    assert holder_of(lock) is None
    with lease(lock):
        if damage is None:
            assert holder_of(lock) == os.getpid()
        else:
            lock.with_suffix(".holder").write_bytes(damage)
            assert holder_of(lock) is None
    assert holder_of(lock) is None
