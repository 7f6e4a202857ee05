"""Twenty runs at once from four processes to a worker with a limit of four: all end, none is lost, one GPU slot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from live_services import Up, start
from patience import patience
from postgres_cluster import Postgres
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun

from stsflow.flows.ops.deploy import (
    GPU_LIMIT,
    heartbeat_automation,
    make_automation,
    make_pool,
    read_deployments,
)
from stsflow.flows.ops.services import down, supervisor

RUNS, SUBMITTERS = 20, 4
HEARTBEAT_WINDOW = 120
HERE = Path(__file__).parent
SUBMIT = """
import sys
from prefect.deployments import run_deployment
folder, first, count, tag = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
for number in range(first, first + count):
    run_deployment("finetune/slots", parameters={"folder": folder, "name": str(number), "seconds": 0.5},
                   timeout=0, tags=[tag])
"""

pytestmark = pytest.mark.slow


def submit(running: Up, folder: Path, tag: str) -> None:
    """Ask for all runs from several processes at the same moment."""
    environment = dict(os.environ) | running.environment
    share = RUNS // SUBMITTERS
    processes = [
        subprocess.Popen([sys.executable, "-c", SUBMIT, str(folder), str(n * share), str(share), tag], env=environment)
        for n in range(SUBMITTERS)
    ]
    assert [process.wait(patience(120)) for process in processes] == [0] * SUBMITTERS


def deploy_slots() -> None:
    import trivial_flows
    from prefect.types.entrypoint import EntrypointType

    with get_client(sync_client=True) as client:
        make_pool(client, "cpu")
        client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 1)
        make_automation(client, heartbeat_automation(HEARTBEAT_WINDOW))  # as `stsflow deploy` does, sooner
    deployment = trivial_flows.hold_the_slot.to_deployment(
        "slots", entrypoint_type=EntrypointType.MODULE_PATH, work_pool_name="cpu", work_queue_name="training"
    )
    deployment.apply()


def wait_until_final(tag: str, seconds: float) -> list[FlowRun]:
    began = time.monotonic()
    while True:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])), limit=200)
        if len(runs) == RUNS and all(run.state is not None and run.state.is_final() for run in runs):
            return runs
        states = sorted(run.state.name if run.state else "?" for run in runs)
        assert time.monotonic() - began < patience(seconds), f"after {time.monotonic() - began:.0f} s: {states}"
        time.sleep(1)


def assert_slot_was_never_shared(folder: Path, at_least: int = RUNS) -> None:
    spans = sorted(tuple(map(float, path.read_text().split())) for path in folder.iterdir())
    assert len(spans) >= at_least
    for (_, ended), (began, _) in pairwise(spans):
        assert ended <= began, "two runs held the GPU slot at the same time"


def services_for_many(root: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))
    running = start(root, database_url=database_url, worker_limit=4)
    with running.used_here():
        yield running
    down(running.workspace)


@pytest.fixture
def on_postgres(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    yield from services_for_many(tmp_path / "workspace", postgres.url("many"), monkeypatch)


@pytest.fixture
def on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    yield from services_for_many(tmp_path / "workspace", None, monkeypatch)


@pytest.mark.timeout(1200)
def test_on_sqlite_no_run_is_lost_and_none_lies(on_sqlite: Up, tmp_path: Path) -> None:
    """What holds with one writer at a time: every run ends, says Completed only when it is, no slot is shared.

    What does not: that every run completes, since a request that waited too long for the database fails its run.
    """
    (tmp_path / "out").mkdir()
    deploy_slots()
    submit(on_sqlite, tmp_path / "out", "sqlite")
    runs = wait_until_final("sqlite", 900)
    done = {run.parameters["name"] for run in runs if run.state and run.state.is_completed()}
    assert done <= {path.name for path in (tmp_path / "out").iterdir()}
    assert {run.state.name for run in runs if run.state} <= {"Completed", "Crashed", "Failed"}
    assert_slot_was_never_shared(tmp_path / "out", at_least=len(done))


@pytest.mark.timeout(1200)
def test_on_postgresql_every_run_completes(on_postgres: Up, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    deploy_slots()
    submit(on_postgres, tmp_path / "out", "calm")
    runs = wait_until_final("calm", 600)
    assert {run.state.name for run in runs if run.state} == {"Completed"}
    assert_slot_was_never_shared(tmp_path / "out")


@pytest.mark.timeout(1500)
def test_servers_and_worker_stop_in_the_middle_and_every_run_ends_in_a_true_state(
    on_postgres: Up, tmp_path: Path
) -> None:
    """Each is stopped and started again while runs are at work.

    A run says Completed only when its file is there. One that was stopped between its file and its end has crashed.
    """
    (tmp_path / "out").mkdir()
    deploy_slots()
    submit(on_postgres, tmp_path / "out", "storm")
    manager = supervisor.ask(on_postgres.workspace)
    for name in ("mlflow", "prefect", "worker-cpu"):
        deadline = time.monotonic() + 120
        known = len(list((tmp_path / "out").iterdir()))
        while len(list((tmp_path / "out").iterdir())) == known and time.monotonic() < deadline:
            time.sleep(0.2)  # runs are at work now
        manager.stopProcess(name)
        manager.startProcess(name, False)
    runs = wait_until_final("storm", 900)
    done = {run.parameters["name"] for run in runs if run.state and run.state.is_completed()}
    assert done <= {path.name for path in (tmp_path / "out").iterdir()}
    ended = {run.state.name for run in runs if run.state}
    assert ended <= {"Completed", "Crashed", "Failed"}


def test_prefect_yaml_reads() -> None:
    assert [entry.name for entry in read_deployments(HERE.parents[2] / "prefect.yaml")] == [
        "finetune", "assess", "retrain",
    ]  # fmt: skip
