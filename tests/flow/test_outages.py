"""MLflow and Prefect stop in the middle of a run and come back: the record shows nothing of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos import Chaos
from mlflow.tracking import MlflowClient
from outages import Server, mlflow_server, prefect_server
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.tracking.entries import training_events
from stsflow.tasks.training.events import read_events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 120


@dataclass
class House:
    """Both servers and a workspace that uses them."""

    chaos: Chaos
    mlflow: Server
    prefect: Server
    client: MlflowClient

    @property
    def variables(self) -> dict[str, str]:
        return self.chaos.variables

    def with_seed(self, seed: int) -> Chaos:
        return Chaos(
            self.chaos.workspace,
            self.chaos.recipe,
            (*self.chaos.arguments, "--set", f"training.seed={seed}"),
            self.variables,
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[House]:
    place = tmp_path_factory.mktemp("outages")
    mlflow, tracking = mlflow_server(place / "mlflow")
    prefect, api = prefect_server(place / "prefect")
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    arguments = ("--set", f"training.max_steps={STEPS}", "--set", "training.epochs=50")
    variables = {"MLFLOW_TRACKING_URI": tracking, "PREFECT_API_URL": api}
    mlflow.start()
    prefect.start()
    yield House(
        Chaos(Workspace(place / ".stsflow"), recipe, arguments, variables), mlflow, prefect, MlflowClient(tracking)
    )
    mlflow.stop()
    prefect.stop()


def _trains(chaos: Chaos) -> bool:
    return any(event.kind == "log" for event in chaos.events)


def _series(house: House, run_id: str) -> dict[str, list[tuple[int, float]]]:
    names = [
        n for n in house.client.get_run(run_id).data.metrics if n.startswith(("train/loss", "train/lear", "eval/"))
    ]
    return {n: [(p.step, p.value) for p in house.client.get_metric_history(run_id, n)] for n in names}


def _expected(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """The series as the trainer wrote it: what a run with no outage sends."""
    entry = training_events(read_events(folder.training / "events.jsonl"), "sts-dev")
    assert entry is not None
    series: dict[str, list[tuple[int, float]]] = {}
    for name, value, _, step in entry.points:
        if name.startswith(("train/loss", "train/lear", "eval/")):
            series.setdefault(name, []).append((step, value))
    return series


def test_both_servers_go_away_while_it_trains_and_come_back(house: House) -> None:
    running = house.chaos.start()
    running.wait_for(lambda: _trains(house.chaos))
    house.mlflow.stop()
    house.prefect.stop()
    running.wait_for(lambda: any(event.kind == "done" for event in house.chaos.events))
    time.sleep(15)  # the outage goes on while the next stage has begun
    house.prefect.start()
    house.mlflow.start()
    _, errors = running.end(timeout=600)
    assert running.process.returncode == 0, errors
    assert "MLflow does not take the record now" in errors and "Traceback" not in errors
    (state,) = house.chaos.states
    run = house.client.get_run(state.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert _series(house, state.mlflow_run_id) == _expected(RunFolder(house.chaos.workspace.runs / state.name))
    with sqlite3.connect(house.prefect.place / "prefect.db") as database:
        assert database.execute("select distinct state_type from flow_run").fetchall() == [("COMPLETED",)]
        assert database.execute("select active_slots from concurrency_limit_v2").fetchall() == [(0,)]
        keys = {row[0] for row in database.execute("select key from artifact where key is not null")}
    assert {"tokens", "exposure", "scores", "model-card"} <= keys


def test_mlflow_is_still_away_at_the_end_and_the_record_is_completed_later(house: House) -> None:
    chaos = house.with_seed(2)
    before = {folder.name for folder in chaos.workspace.root.glob("trainings/*")}
    running = chaos.start()

    def trains() -> bool:
        new = [folder for folder in chaos.workspace.root.glob("trainings/*") if folder.name not in before]
        return any(event.kind == "log" for folder in new for event in read_events(folder / "events.jsonl"))

    running.wait_for(trains)
    house.mlflow.stop()
    output, errors = running.end(timeout=800)
    assert running.process.returncode == 1 and output == "" and "Traceback" not in errors, errors
    state = chaos.states[-1]
    assert f"everything is on disk; when MLflow is back: stsflow sync {state.name}" in " ".join(errors.split())
    folder = RunFolder(chaos.workspace.runs / state.name)
    assert (folder.model / "model.safetensors").is_file() and (folder.card / "README.md").is_file()
    house.mlflow.start()
    done = stsflow(chaos.workspace.root, "sync", state.name, "--json", **house.variables)
    assert result_of(done)["sent"] == result_of(done)["entries"]
    assert house.client.get_run(state.mlflow_run_id).info.status == "FINISHED"
    assert _series(house, state.mlflow_run_id) == _expected(folder)
