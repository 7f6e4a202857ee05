"""Backup, wipe and restore under real servers: what Prefect and MLflow know is back, compared one by one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from live_services import Up, start
from mlflow_contents import fill, read
from patience import patience
from postgres_cluster import Postgres
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.variables import Variable
from prefect_runs import log_of, task_names, until

from stsflow.flows.ops.backup import backup, restore
from stsflow.flows.ops.deploy import deploy, make_deployment, read_deployments
from stsflow.flows.ops.services import down
from stsflow.tasks.recipe.sections import RunConfig

CHECKOUT = Path(__file__).resolve().parents[3]
YAML = """
deployments:
  - {name: kept, entrypoint: trivial_flows.touch, work_pool: {name: cpu, work_queue_name: checks}}
"""


class Parameter:
    """The recipe of a trivial flow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model_dump(self, mode: str) -> dict[str, str]:
        assert mode == "json"
        return {"folder": str(self.folder), "name": "done"}


def prefect_contents(running: Up) -> dict[str, Any]:
    """All that people would miss of a Prefect server, as plain values."""
    with running.used_here(), get_client(sync_client=True) as client:
        ended = [run for run in client.read_flow_runs() if run.state is not None and run.state.is_final()]
        names = ("stsflow: heartbeat", "stsflow: approval wanted", "stsflow: run failed", "stsflow: champion changed")
        return {
            "runs": {str(run.id): (run.name, run.state_name, run.parameters, str(run.start_time)) for run in ended},
            "tasks": {str(run.id): sorted(task_names(client, run)) for run in ended},
            "logs": {str(run.id): [line.message for line in log_of(client, run)] for run in ended},
            "deployments": {
                str(d.id): (d.name, d.parameters, [s.schedule.model_dump(mode="json") for s in d.schedules])
                for d in client.read_deployments()
            },
            "automations": {
                name: [in_order(found.model_dump(mode="json")) for found in client.read_automations_by_name(name)]
                for name in names
            },
            "pools": sorted((pool.name, pool.type) for pool in client.read_work_pools()),
            "limits": sorted((limit.name, limit.limit) for limit in client.read_global_concurrency_limits()),
            "variable": Variable.get("stsflow_seen_kept"),
            "webhook": webhook_address(),
        }


def in_order(value: Any) -> Any:
    """The same with every list sorted: Prefect keeps the events of a trigger as sets, which have no order."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in value.items()}
    return sorted(map(in_order, value), key=repr) if isinstance(value, list) else value


def webhook_address() -> str:
    """The address in the encrypted block: it can be read only with the key that the database holds."""
    from prefect.blocks.webhook import Webhook

    block: Any = Webhook.load("stsflow-notifications")
    return str(block.url.get_secret_value())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    yield postgres.url("whole")


def wipe(root: Path, database_url: str | None) -> None:
    shutil.rmtree(root)
    if database_url is not None:
        import psycopg2

        connection = psycopg2.connect(database_url.rpartition("/")[0] + "/postgres")
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            for name in ("whole_prefect", "whole_mlflow"):
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_is_back(database_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    running = start(tmp_path / "workspace", database_url=database_url)
    workspace = running.workspace
    artifacts = workspace.mlflow_artifacts
    try:
        with running.used_here():
            deploy(
                RunConfig.from_recipe(CHECKOUT / "flows" / "recipes" / "demo.yaml"), webhook_url="http://127.0.0.1:9/x"
            )
            (tmp_path / "prefect.yaml").write_text(YAML, encoding="utf-8")
            (entry,) = read_deployments(tmp_path / "prefect.yaml")
            name, _ = make_deployment(entry, Parameter(tmp_path), "cpu")  # type: ignore[arg-type]
            run = run_deployment(name, timeout=patience(120), poll_interval=1)
            assert isinstance(run, FlowRun) and run.state is not None and run.state.is_completed()
            with get_client(sync_client=True) as client:  # log lines are sent in batches, after what they tell
                until(lambda: any(line.message.startswith("Finished in state") for line in log_of(client, run)))
            Variable.set("stsflow_seen_kept", {"recipe": "abc", "sources": {}})
            fill(running.services.mlflow_url, artifacts)
            mlflow_before = read(running.services.mlflow_url, artifacts)
        before = prefect_contents(running)
        assert len(before["runs"]) == 1 and len(before["deployments"]) == 4 and ("gpu", 1) in before["limits"]
        backup(workspace, tmp_path / "backup", database_url=database_url)
        down(workspace)
        wipe(workspace.root, database_url)
        restore(workspace, tmp_path / "backup", database_url=database_url)
        ports = {"prefect_port": running.services.prefect_port, "mlflow_port": running.services.mlflow_port}
        again = start(workspace.root, database_url=database_url, **ports)
        assert prefect_contents(again) == before
        with again.used_here():
            assert read(again.services.mlflow_url, artifacts) == mlflow_before
    finally:
        down(workspace)
