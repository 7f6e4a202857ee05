"""The product as a schedule uses it: deployed, fired by itself, carried out by a worker, recorded on both servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from live_services import Up, free_port
from patience import patience
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect_runs import artifacts_of, fired_by_itself, log_of, often, task_names
from small_recipe import environment, result_of, stsflow, write_small_recipe

from stsflow.flows.ops.services import Services
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # each waits for a whole run of the flow on servers


def assert_the_prefect_side_is_told(client: SyncPrefectClient, run: FlowRun) -> None:
    """What a person sees on the run's page in the Prefect UI."""
    assert re.fullmatch(r"small-[0-9a-f]{8}", run.name)
    assert {
        "prepare nli, sts, sts-dev, sts-test", "profile tokens of nli, sts, sts-dev, sts-test", "train small",
        "evaluate base and tuned on sts-dev, sts-test",
    } <= task_names(client, run)  # fmt: skip
    artifacts = artifacts_of(client, run)
    kinds = {key: artifact.type for key, artifact in artifacts.items()}
    assert kinds.items() >= {
        "tokens": "table", "exposure": "table", "scores": "table", "promotion": "table", "model-card": "markdown",
        "training": "progress",
    }.items()  # fmt: skip
    assert artifacts["training"].data == 100
    log = log_of(client, run)
    assert any("trained 20 steps" in line.message for line in log)
    assert any(re.match(r"step \d+/20 ", line.message) for line in log)
    assert not [line.message for line in log if line.level >= 40]
    assert len(log) < 60


def assert_the_mlflow_side_is_told(store: Store, run: FlowRun, link: str, prefect_url: str) -> Any:
    """What a person sees on the run's page in the MLflow UI; returns the MLflow run."""
    champion = store.registry.alias("small-model", "champion")
    assert champion is not None
    tracked = store.run(champion.run_id)
    assert link.endswith(
        f"/#/experiments/{tracked.info.experiment_id}/runs/{tracked.info.run_id}?workflowType=machine_learning)"
    )
    tags = tracked.data.tags
    page = f"{prefect_url}/runs/flow-run/{run.id}"
    assert tags["prefect.flow_run_url"] == page
    description = tags["mlflow.note.content"]
    assert description.startswith("A random two-layer model on a few synthetic rows")
    assert f"]({page})" in description and "| sts-test | spearman_cosine |" in description
    groups = {name.partition("/")[0] for name in tracked.data.metrics}
    assert {"base", "tuned", "gain", "train", "eval", "data", "tokens"} <= groups
    assert {item.dataset.name for item in tracked.inputs.dataset_inputs} == {"nli", "sts", "sts-dev", "sts-test"}
    plots = [file.path for file in store.client.list_artifacts(tracked.info.run_id, "card/figures")]
    assert {"card/figures/base-vs-tuned.png", "card/figures/training-curve.png"} <= set(plots)
    return tracked


def test_the_schedule_fires_and_its_model_is_the_champion(client_of: Up, finetuned: Any) -> None:
    with get_client(sync_client=True) as client:
        assert_the_prefect_side_is_told(client, finetuned.run)
        link = str(artifacts_of(client, finetuned.run)["mlflow-run"].data)
    store = Store(Workspace(client_of.workspace.root))
    assert_the_mlflow_side_is_told(store, finetuned.run, link, client_of.services.prefect_url)


# ------------------------------------------------------------------------------------- all of it by the command line


@pytest.fixture
def by_command(tmp_path: Path) -> Iterator[Any]:
    """`stsflow ...` in a workspace of its own; whatever it started is ended afterwards."""
    workspace = tmp_path / ".stsflow"

    def run(*arguments: str) -> dict[str, Any]:
        return result_of(stsflow(workspace, *arguments, "--json"))

    run.workspace = workspace  # type: ignore[attr-defined]
    yield run
    stsflow(workspace, "down")


def deployment_run(running: Up, name: str, *parameters: str) -> FlowRun:
    """`prefect deployment run NAME`, as a person types it, waited for; returns the run."""
    arguments = [
        sys.executable, "-m", "prefect", "--no-prompt", "deployment", "run", name, "--watch", "--watch-timeout", "280",
    ]  # fmt: skip
    for parameter in parameters:
        arguments += ["--param", parameter]
    variables = environment(running.workspace.root, **running.environment)
    done = subprocess.run(arguments, env=variables, capture_output=True, text=True, timeout=patience(300))
    found = re.search(r"UUID: ([0-9a-f-]{36})", done.stdout)
    assert found is not None, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        return client.read_flow_run(found[1])  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_week_of_it_by_the_command_line(by_command: Any, tiny_bert: Path, tmp_path: Path) -> None:
    """up, deploy, the schedule, a run by hand, assess, retrain twice, a run in the terminal, down; no process stays."""
    workspace: Path = by_command.workspace
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    ports = ("--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
    running = Up(Workspace(workspace), Services.model_validate(by_command("up", *ports)["services"]))
    with running.used_here(), get_client(sync_client=True) as client:
        made = by_command("deploy", str(recipe), "--file", str(often(tmp_path / "prefect.yaml")))["deployments"]
        scheduled = fired_by_itself(client, made["finetune/finetune"])
        assert_the_prefect_side_is_told(client, scheduled)
        by_command("deploy", str(recipe), "--file", str(often(tmp_path / "prefect.yaml", active=False)))

        by_hand = deployment_run(running, "finetune/finetune", "fresh=true")
        assert by_hand.state is not None and by_hand.state.is_completed() and not by_hand.auto_scheduled
        assert by_hand.name == scheduled.name  # the same recipe

        assessed = deployment_run(running, "assess/assess")
        assert assessed.name == "assess-small" and assessed.state is not None and assessed.state.is_completed()
        assert "scores as it did, on 2 suites" in str(assessed.state.message)

        trained = deployment_run(running, "retrain/retrain")
        assert trained.state is not None and trained.state.name == "Completed"
        assert "no earlier training of this recipe" in str(trained.state.message)
        skipped = deployment_run(running, "retrain/retrain")
        assert skipped.state is not None and skipped.state.name == "Skipped", skipped.state
        assert "none of 4 sources changed" in str(skipped.state.message)

    summary = by_command("run", str(recipe))
    assert summary["tracking_uri"] == running.services.mlflow_url
    assert by_command("down")["ended"] == ["mlflow", "prefect", "worker-cpu"]
    assert not [p.cmdline() for p in psutil.process_iter(["environ"]) if belongs_to(p, workspace)]
    # The embedded store is the same one: what the servers recorded is there, and a run goes on in it.
    again = by_command("run", str(recipe))
    assert again["tracking_uri"] == f"sqlite:///{workspace / 'mlflow.db'}"
    assert again["experiment_id"] == summary["experiment_id"] and again["mlflow_run_id"] != summary["mlflow_run_id"]


def belongs_to(process: psutil.Process, workspace: Path) -> bool:
    found = process.info["environ"] or {}
    return found.get("STSFLOW_WORKSPACE") == str(workspace) and process.pid != os.getpid()
