"""Which run a start continues, and what becomes of runs whose process is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tracked_runs import left_by_a_dead_process, opened

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.records.run import RunState
from stsflow.tasks.tracking import runs
from stsflow.tasks.tracking.reconcile import reconcile
from stsflow.tasks.tracking.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("runs")))


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_runs_of_one_recipe_are_numbered(store: Store, place: Workspace) -> None:
    first = opened(store, place)
    runs.close_run(RunFolder(first.folder), "finished")
    second = opened(store, place)
    assert (first.name, second.name) == ("small-aaaaaaaa-001", "small-aaaaaaaa-002")
    assert first.mlflow_run_id != second.mlflow_run_id


@pytest.mark.parametrize("ending", ["failed", "cancelled", "crashed"])
def test_an_unfinished_run_is_continued_in_the_same_mlflow_run(store: Store, place: Workspace, ending: str) -> None:
    first = opened(store, place)
    runs.close_run(RunFolder(first.folder), ending)
    again = opened(store, place)
    assert (again.name, again.mlflow_run_id, again.attempt) == (first.name, first.mlflow_run_id, 2)
    assert store.run(first.mlflow_run_id).info.status == "RUNNING"


def test_fresh_starts_anew(store: Store, place: Workspace) -> None:
    first = opened(store, place)
    runs.close_run(RunFolder(first.folder), "failed")
    assert opened(store, place, fresh=True).mlflow_run_id != first.mlflow_run_id


def test_a_run_that_somebody_alive_works_on_is_left_alone(store: Store, place: Workspace) -> None:
    first = opened(store, place)
    assert reconcile(store, place) == []
    assert opened(store, place).name != first.name


def test_a_run_whose_process_is_gone_is_marked_as_crashed_everywhere(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    left_by_a_dead_process(run)
    (crashed,) = reconcile(store, place)
    assert crashed.status == "crashed" and "is gone" in crashed.reason
    tracked = store.run(run.mlflow_run_id)
    assert tracked.info.status == "FAILED" and "is gone" in tracked.data.tags["stsflow.ended_because"]
    assert reconcile(store, place) == []
    assert opened(store, place).mlflow_run_id == run.mlflow_run_id


def test_a_process_number_that_is_used_again_does_not_count_as_alive(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    state = RunState.load(RunFolder(run.folder).state)
    assert runs.holder_is_alive(state) and state.process_id == os.getpid()
    assert not runs.holder_is_alive(state.model_copy(update={"process_started": state.process_started - 100}))


def test_resume_with_another_recipe_is_refused(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    runs.close_run(RunFolder(run.folder), "failed")
    with pytest.raises(RecipeError, match="started with another recipe"):
        opened(store, place, sha="b" * 64, resume=run.name)


def test_resume_of_a_finished_run_is_refused(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    runs.close_run(RunFolder(run.folder), "finished")
    with pytest.raises(RecipeError, match="has finished"):
        opened(store, place, resume=run.name)


def test_resume_of_an_unknown_run_lists_the_newest(store: Store, place: Workspace) -> None:
    run = opened(store, place)
    with pytest.raises(RecipeError, match=f"there is no run 'nope'.*{run.name}"):
        opened(store, place, resume="nope")
