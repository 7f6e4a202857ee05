"""A run on a worker that somebody cancels in Prefect, as the UI's button does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from live_services import Up, start
from prefect.client.orchestration import get_client
from prefect.states import Cancelling
from prefect_runs import until
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.flows.ops.services import down
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.checkpoints import last_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Up]:
    running = start(tmp_path / ".stsflow", worker_limit=1)
    yield running
    down(running.workspace)


def trainers_in(workspace: Workspace) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "stsflow.tasks.training.worker" in line and str(workspace.root) in line:
            found.append(process)
    return found


def test_a_cancelled_run_ends_its_trainer_frees_its_slot_and_keeps_its_checkpoint(
    servers: Up, tmp_path: Path, tiny_bert: Path
) -> None:
    workspace = servers.workspace
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    arguments = ("--set", "training.max_steps=4000", "--set", "training.epochs=1000", "--set", "training.eval_steps=20")
    result_of(stsflow(workspace.root, "deploy", str(recipe), *arguments, "--json", **servers.environment))
    with servers.used_here(), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("finetune/finetune")
        run = client.create_flow_run_from_deployment(deployment.id)
        checkpoints = until(lambda: list(workspace.root.glob("trainings/*/checkpoints/checkpoint-*")), 240)
        assert len(trainers_in(workspace)) == 1
        assert client.read_global_concurrency_limit_by_name("gpu").active_slots == 1
        client.set_flow_run_state(run.id, Cancelling())
        until(lambda: not trainers_in(workspace), 60)
        until(lambda: client.read_flow_run(run.id).state.is_cancelled(), 60)  # type: ignore[union-attr]
        until(lambda: client.read_global_concurrency_limit_by_name("gpu").active_slots == 0, 90)
    whole, passed_over = last_whole(checkpoints[0].parent)
    assert whole is not None and passed_over == []
    with servers.used_here():
        store = Store(workspace)
        (tracked,) = store.client.search_runs([store.experiment("stsflow")])
    assert tracked.info.status == "KILLED" and tracked.data.tags["stsflow.ended_because"] == "cancelled"
