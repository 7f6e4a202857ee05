"""The record of a run, damaged on the disk: it is named, made again where that can be, and stops no other run."""

from __future__ import annotations

import math
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tracked_runs import left_by_a_dead_process, opened

from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.records.run import RunRef, RunState
from stsflow.tasks.tracking import flow_runs, runs
from stsflow.tasks.tracking.flow_runs import FlowRunNote
from stsflow.tasks.tracking.journal import Finish, Journal, Metrics, Tags, damage_of
from stsflow.tasks.tracking.reconcile import flow_runs_left_behind, reconcile
from stsflow.tasks.tracking.relay import DAMAGED, Relay
from stsflow.tasks.tracking.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("damaged")))


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def run_id(store: Store) -> str:
    return store.open_run("tests", "a run", {}, "", datetime.now(UTC))[0]


def finished_unsent(store: Store, place: Workspace) -> RunRef:
    """A run that finished while MLflow was away; its process is gone."""
    run = opened(store, place)
    journal = Journal(RunFolder(run.folder).journal)
    journal.append(Tags(values={"a": "1"}), Metrics(points=(("loss", 0.5, 1, 1),)), Finish(status="FINISHED", time=2))
    runs.close_run(RunFolder(run.folder), "finished")
    left_by_a_dead_process(run)
    return run


def tagged(store: Store, place: Workspace) -> RunRef:
    """A run with the tags that the flow gives it."""
    run = opened(store, place)
    tags = {"stsflow.recipe": "small", "stsflow.recipe_sha256": "a" * 64, "prefect.flow_run_id": "f"}
    for name, value in tags.items():
        store.client.set_tag(run.mlflow_run_id, name, value)
    return run


def flip(path: Path, where: int) -> None:
    content = bytearray(path.read_bytes())
    content[where] ^= 0x01
    path.write_bytes(content)


def test_an_undefined_number_comes_back_and_reaches_mlflow(store: Store, run_id: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Metrics(points=(("tuned/dev/spearman_cosine", math.nan, 1, 1), ("loss", math.inf, 1, 1))))
    ((_, entry),) = journal.after(0)
    assert isinstance(entry, Metrics) and math.isnan(entry.points[0][1]) and entry.points[1][1] == math.inf
    assert Relay(store, run_id, Journal(journal.path), tmp_path).flush()
    assert math.isnan(store.client.get_metric_history(run_id, "tuned/dev/spearman_cosine")[0].value)


def test_every_flipped_byte_of_an_entry_is_noticed_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).append(Tags(values={"a": "1"}), Metrics(points=(("loss", 0.5, 1, 1),)), Tags(values={"b": "2"}))
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for where in range(start, whole.index(b"\n", start)):
        path.write_bytes(whole)
        flip(path, where)
        found = dict(Journal(path).after(0))
        assert (found[1], found[len(found)]) == (Tags(values={"a": "1"}), Tags(values={"b": "2"})), where
        assert Journal(path).damaged, where


def test_a_line_of_an_earlier_version_has_no_checksum_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind":"tags","values":{"a":"1"}}\n{"kind":"metrics","points":[["x",null,1,1]],"event":null}\n')
    assert list(Journal(path).after(0)) == [(1, Tags(values={"a": "1"})), (2, None)]


def test_a_run_with_a_damaged_last_entry_ends_in_mlflow_as_it_ended(store: Store, place: Workspace) -> None:
    run = finished_unsent(store, place)
    flip(RunFolder(run.folder).journal, -9)
    assert "line 3 of" in damage_of(RunFolder(run.folder).journal)
    assert reconcile(store, place) == []
    tracked = store.run(run.mlflow_run_id)
    assert (tracked.info.status, tracked.data.metrics["loss"]) == ("FINISHED", 0.5)
    assert "record on disk" in tracked.data.tags[DAMAGED]
    assert opened(store, place, sha="b" * 64).attempt == 1


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_journal_that_was_cut_is_said_and_the_run_still_ends(
    store: Store, place: Workspace, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    run = finished_unsent(store, place)
    path = RunFolder(run.folder).journal
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    reconcile(store, place)
    assert f"the record of {run.name} was cut" in caplog.text
    tracked = store.run(run.mlflow_run_id)
    assert tracked.info.status == "FINISHED" and DAMAGED in tracked.data.tags


def test_entries_after_a_cut_below_what_was_sent_arrive_once(store: Store, run_id: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(*(Metrics(points=(("loss", 1 / step, step, step),)) for step in range(1, 5)))
    assert Relay(store, run_id, journal, tmp_path).flush()
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert "was cut: MLflow has 4 entries of it, and 1 are left" in damage_of(path)
    again = Journal(path)
    for step in range(2, 7):
        again.append_new_points(Metrics(points=(("loss", 1 / step, step, step),)))
    assert Relay(store, run_id, again, tmp_path).flush() and again.sent == 6
    assert [point.step for point in store.client.get_metric_history(run_id, "loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", [b"", b"x", b"-3", b"\xff", b"9" * 5000])
def test_a_damaged_count_of_sent_entries_sends_them_again_and_no_point_twice(
    store: Store, run_id: str, tmp_path: Path, content: bytes
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Metrics(points=(("loss", 0.5, 1, 1),)), Metrics(points=(("loss", 0.4, 2, 2),)))
    assert Relay(store, run_id, journal, tmp_path).flush()
    (tmp_path / "journal.sent").write_bytes(content)
    assert damage_of(journal.path).endswith("holds no number")
    again = Journal(journal.path)
    assert again.sent == 0 and Relay(store, run_id, again, tmp_path).flush() and again.sent == 2
    assert len(store.client.get_metric_history(run_id, "loss")) == 2


@pytest.mark.parametrize("content", [b"", b'{"name": "small', b"\x00" * 64])
def test_a_damaged_state_of_a_killed_run_is_made_again_and_the_run_is_continued(
    store: Store, place: Workspace, content: bytes
) -> None:
    run = tagged(store, place)
    RunFolder(run.folder).state.write_bytes(content)
    (found,) = runs.damaged_runs(place)
    assert str(RunFolder(run.folder).state) in found[1]
    (crashed,) = reconcile(store, place)
    assert (crashed.name, crashed.recipe_sha256, crashed.status) == (run.name, "a" * 64, "crashed")
    assert store.run(run.mlflow_run_id).info.status == "FAILED"
    assert opened(store, place).mlflow_run_id == run.mlflow_run_id


def test_a_damaged_state_of_a_run_that_is_at_work_is_not_marked_as_crashed(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    for name, value in {
        "stsflow.recipe": "small",
        "stsflow.recipe_sha256": "a" * 64,
        "prefect.flow_run_id": "f",
    }.items():
        store.client.set_tag(run.mlflow_run_id, name, value)
    with flow_runs.noted(place, "f"):
        RunFolder(run.folder).state.write_bytes(b"{")
        assert reconcile(store, place) == []
        assert RunState.load(RunFolder(run.folder).state).status == "running"


def test_a_state_that_no_store_knows_is_left_and_stops_nothing(store: Store, place: Workspace) -> None:
    stranger = RunFolder(place.runs / "other-bbbbbbbb-001")
    stranger.root.mkdir(parents=True)
    stranger.state.write_bytes(b"{")
    assert reconcile(store, place) == []
    assert opened(store, place).attempt == 1 and stranger.state.read_bytes() == b"{"


def test_the_state_of_ones_own_run_is_made_again(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    RunFolder(run.folder).state.write_bytes(b"")
    assert runs.state_of(run).status == "running"
    runs.close_run(RunFolder(run.folder), "finished")
    assert RunState.load(RunFolder(run.folder).state).mlflow_run_id == run.mlflow_run_id


def test_a_damaged_note_of_a_flow_run_stops_nobody(workspace: Workspace) -> None:
    (workspace.flow_runs).mkdir(parents=True)
    flow_runs.note_path(workspace, "damaged").write_bytes(b"\x00")
    with flow_runs.noted(workspace, "mine"):
        flow_runs.note_path(workspace, "mine").write_bytes(b"{")
        flow_runs.note_slot(workspace, "mine", "lease")
        assert FlowRunNote.load(flow_runs.note_path(workspace, "mine")).slot == "lease"
        assert [note.flow_run_id for note in flow_runs.own(workspace)] == ["mine"]
        assert flow_runs.left_behind(workspace) == []


def test_runs_whose_database_was_deleted_stop_nothing_and_are_begun_anew(store: Store, place: Workspace) -> None:
    ended, killed = finished_unsent(store, place), opened(store, place, sha="b" * 64)
    left_by_a_dead_process(killed)
    for run in (ended, killed):
        state = RunState.load(RunFolder(run.folder).state)
        state.model_copy(update={"mlflow_run_id": "0" * 32}).write(RunFolder(run.folder).state)
    (crashed,) = reconcile(store, place)
    assert crashed.name == killed.name
    again = opened(store, place, sha="b" * 64)
    assert (again.name, again.attempt) == ("small-bbbbbbbb-002", 1)


def test_a_damaged_note_of_a_killed_flow_run_is_made_up_for_by_the_run(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    place.flow_runs.mkdir()
    for name in ("f", "unknown"):
        flow_runs.note_path(place, name).write_bytes(b"{")
    assert flow_runs_left_behind(place) == []
    left_by_a_dead_process(run)
    assert [note.flow_run_id for note in flow_runs_left_behind(place)] == ["f"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.sampled_from(["run.json", "journal.jsonl", "journal.sent"]),
    content=st.binary(max_size=80),
    keep=st.booleans(),
)
def test_no_bytes_in_the_record_of_a_run_stop_another(
    store: Store, place: Workspace, which: str, content: bytes, keep: bool
) -> None:
    """The bytes stand in the place of the file, or behind what it held."""
    stranger = place.run("small-cccccccc-001")
    if not stranger.state.exists() or which == "run.json":
        RunState(
            name=stranger.root.name, recipe_name="small", recipe_sha256="c" * 64, status="failed",
            mlflow_run_id="0" * 32, experiment_id="0", tracking_uri="", process_id=0, process_started=0.0,
            host=socket.gethostname(), started=datetime.now(UTC),
        ).write(stranger.state)  # fmt: skip
    path = {"run.json": stranger.state}.get(which, stranger.journal.parent / which)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if keep and path.exists() else b"") + content)
    assert reconcile(store, place) == []
    list(runs.known_runs(place))
    damage_of(stranger.journal)
