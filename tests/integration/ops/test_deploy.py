"""`stsflow deploy` on a real Prefect server, and a real worker that carries out what it scheduled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from live_services import Up
from patience import patience
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect_runs import runs_of, until

from stsflow.flows.ops.champion_event import announce_champion
from stsflow.flows.ops.deploy import deploy, make_deployment, make_pool, read_deployments
from stsflow.tasks.ground.errors import PreconditionError, RecipeError
from stsflow.tasks.recipe.sections import RunConfig

CHECKOUT = Path(__file__).resolve().parents[3]


class Recipe:
    """As much of a recipe as the trivial flows need."""

    def __init__(self, folder: Path, name: str) -> None:
        self.values = {"folder": str(folder), "name": name}

    def model_dump(self, mode: str) -> dict[str, str]:
        assert mode == "json"
        return self.values


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a receiver on loopback, and the JSON bodies that have arrived there."""
    arrived: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", arrived
        server.shutdown()


@pytest.fixture
def client(client_of: Up) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        assert str(opened.api_url).startswith(client_of.services.prefect_url)
        yield opened


@pytest.fixture
def demo() -> RunConfig:
    return RunConfig.from_recipe(CHECKOUT / "flows" / "recipes" / "demo.yaml")


def entry(tmp_path: Path, **changes: Any) -> Any:
    """One deployment of a trivial flow, through a prefect.yaml."""
    values = {
        "name": tmp_path.name.replace("_", "-"), "entrypoint": "trivial_flows.touch", "tags": ["test"],
        "work_pool": {"name": "cpu", "work_queue_name": "checks"},
    }  # fmt: skip
    path = tmp_path / "prefect.yaml"
    path.write_text(yaml.safe_dump({"deployments": [values | changes]}), encoding="utf-8")
    return read_deployments(path)[0]


def test_a_scheduled_run_fires_by_itself_and_a_manual_one_too(
    client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    make_pool(client, "cpu")
    schedule = {"slug": "often", "interval": 15.0}
    made = entry(tmp_path, schedules=[schedule], concurrency_limit={"limit": 1, "collision_strategy": "ENQUEUE"})
    name, identifier = make_deployment(made, Recipe(tmp_path, "fired"), "cpu")  # type: ignore[arg-type]
    try:
        until((tmp_path / "fired").exists)
        first = until(lambda: [run for run in runs_of(client, identifier) if run.state and run.state.is_completed()])
        assert first[0].auto_scheduled
        assert client.read_deployment(identifier).entrypoint == "trivial_flows.touch"
    finally:
        paused = entry(tmp_path, schedules=[schedule | {"active": False}])
        make_deployment(paused, Recipe(tmp_path, "by-hand"), "cpu")  # type: ignore[arg-type]
    run = run_deployment(name, timeout=patience(90), poll_interval=1)
    assert isinstance(run, FlowRun) and run.state is not None and run.state.is_completed()
    assert (tmp_path / "by-hand").exists()
    client.delete_deployment(identifier)


def test_deploy_twice_changes_nothing(client: SyncPrefectClient, demo: RunConfig) -> None:
    def state() -> dict[str, Any]:
        deployments = client.read_deployments()
        ours = {d.name: (d.id, [s.schedule for s in d.schedules], d.parameters) for d in deployments}
        return {
            "deployments": ours,
            "automations": sorted((a.name, a.id) for a in client.read_automations()),
            "pools": sorted(pool.name for pool in client.read_work_pools()),
            "limits": sorted((x.name, x.limit) for x in client.read_global_concurrency_limits()),
        }

    first = deploy(demo, webhook_url="http://127.0.0.1:9/hook")
    before = state()
    assert deploy(demo, webhook_url="http://127.0.0.1:9/hook") == first
    assert state() == before
    assert set(first.deployments) == {"finetune/finetune", "assess/assess", "retrain/retrain"}
    names = ("heartbeat", "approval wanted", "run failed", "champion changed")
    assert first.automations == tuple(f"stsflow: {name}" for name in names)
    assert ("gpu", 1) in before["limits"]
    assert {"cpu", "gpu"} <= set(before["pools"])
    assert deploy(demo, name="second").deployments.keys() == {
        "finetune/finetune-second", "assess/assess-second", "retrain/retrain-second",
    }  # fmt: skip


def test_a_deployment_that_names_an_entry_point_of_old_is_replaced_from_any_folder(
    client: SyncPrefectClient, demo: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # holds no prefect.yaml: the installed one is read
    flow_id = client.create_flow_from_name("finetune")
    old = client.create_deployment(flow_id, "finetune-old", entrypoint="flows.finetune.finetune")
    assert deploy(demo, name="old").deployments["finetune/finetune-old"] == str(old)
    assert client.read_deployment(old).entrypoint == "stsflow.flows.finetune.finetune"


def test_the_form_in_the_ui_describes_the_recipe(client: SyncPrefectClient, demo: RunConfig) -> None:
    deploy(demo)
    deployment = client.read_deployment_by_name("finetune/finetune")
    schema = deployment.parameter_openapi_schema
    assert schema is not None
    definition = schema["definitions"]["TrainingConfig"]["properties"]["learning_rate"]
    assert definition["description"] == "Peak learning rate."
    assert RunConfig.model_validate(deployment.parameters["recipe"]) == demo
    assert deployment.entrypoint == "stsflow.flows.finetune.finetune"
    assert [(s.schedule.cron, s.schedule.timezone) for s in deployment.schedules] == [("0 2 * * 0", "Europe/Berlin")]
    assert deployment.global_concurrency_limit is not None and deployment.global_concurrency_limit.limit == 1


def test_queues_rank_checks_before_trainings(client: SyncPrefectClient, demo: RunConfig) -> None:
    deploy(demo)
    queues = client.request(
        "POST", "/work_pools/{work_pool_name}/queues/filter", path_params={"work_pool_name": "gpu"}, json={}
    ).json()
    ranks = {queue["name"]: queue["priority"] for queue in queues}
    assert ranks["checks"] < ranks["training"]


@pytest.mark.usefixtures("client_of")
def test_the_webhook_hears_of_failures_and_champions(
    demo: RunConfig, webhook: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    address, arrived = webhook
    deploy(demo, webhook_url=address)
    failing = entry(tmp_path, entrypoint="trivial_flows.fail")
    name, _ = make_deployment(failing, Recipe(tmp_path, 'a "quoted" recipe'), "cpu")  # type: ignore[arg-type]
    run = run_deployment(name, timeout=patience(90), poll_interval=1)
    assert isinstance(run, FlowRun)

    def told(event: str) -> list[dict[str, Any]]:
        return [body for body in arrived if body["event"] == event]

    (failure,) = until(lambda: told("run failed"))
    assert failure["flow_run"] == run.name and failure["state"] == "Failed"
    assert 'no luck with a "quoted" recipe' in failure["message"]
    assert failure["url"].endswith(f"/{run.id}")

    announce_champion("korean-sts", "7", "6", "better on test by 0.012")
    (champion,) = until(lambda: told("champion changed"))
    assert champion == {
        "event": "champion changed", "model": "korean-sts", "version": "7", "previous": "6",
        "reason": "better on test by 0.012",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entrypoint": "flows/finetune.py:finetune"}, "entrypoint: String should match pattern"),
        ({"schedules": [{"slug": "x", "cron": "61 * * * *"}]}, "[Ii]nvalid cron"),
        ({"schedules": [{"slug": "x", "cron": "0 * * * *", "timezone": "Mars/Olympus"}]}, "[Tt]imezone"),
        ({"schedules": [{"slug": "x"}]}, "schedule x: give either cron or interval"),
        ({"work_pol": {}}, "work_pol: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_prefect_yaml_names_deployment_and_field(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(PreconditionError, match=f"prefect.yaml, deployment .*: .*{message}"):
        entry(tmp_path, **change)


@pytest.mark.parametrize("option", ["name", "pool"])
@pytest.mark.parametrize("text", ["../x", "", "a b", "x\n[program:y]", "-x", "x" * 65, "a/b", "naïve"])
def test_what_is_no_name_is_refused(demo: RunConfig, option: str, text: str) -> None:
    with pytest.raises(RecipeError, match=rf"--{option}: found .*; allowed: ASCII letters, digits"):
        deploy(demo, **{option: text})  # type: ignore[arg-type]


def test_where_no_server_is_named_deploy_starts_none(demo: RunConfig) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(PreconditionError, match=r"needs a Prefect server that stays, and none is named.*`stsflow up`"),
    ):
        deploy(demo)


def test_without_the_password_deploy_says_what_is_missing(servers: Up, demo: RunConfig) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    wrong = {PREFECT_API_URL: servers.services.prefect_api_url, PREFECT_API_AUTH_STRING: "stsflow:wrong"}
    with (
        temporary_settings(wrong),
        pytest.raises(PreconditionError, match=r"does not let us in \(status 401\); set PREFECT_API_AUTH_STRING"),
    ):
        deploy(demo)


def test_without_a_server_deploy_says_how_to_start_one(demo: RunConfig) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(PreconditionError, match=r"127\.0\.0\.1:9/api/? does not answer .*start one with `stsflow up`"),
    ):
        deploy(demo)
