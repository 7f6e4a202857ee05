"""Everything on the Prefect server that the schedule needs: pools, queues, limits, deployments, automations.

Each step first looks at what is there, so that `stsflow deploy` may be repeated after every change of a recipe or of
`prefect.yaml`; a second run changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.importtools import import_object
from prefect.workers.process import ProcessWorker
from rich.console import Console

from stsflow.flows.ops.automations import (
    HEARTBEAT_WINDOW_SECONDS,
    heartbeat_automation,
    make_automation,
    notification_automations,
    save_webhook,
)
from stsflow.flows.ops.deployment_file import DeploymentEntry, default_file, read_deployments
from stsflow.flows.ops.services import status
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.names import SERVICE
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig

if TYPE_CHECKING:
    from prefect.client.orchestration.routes import ServerRoutes

QUEUES = {"checks": 1, "training": 2}
"""Queue and priority: a check of some minutes goes before a training of hours."""
GPU_LIMIT = "gpu"
RUN_ENVIRONMENT = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "stsflow",  # the trainer's lines belong into the run's log
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
"""What every run gets in its environment, whichever worker takes it."""
WEBHOOK_VARIABLE = "STSFLOW_WEBHOOK_URL"


class DeployReport(Record):
    """What is on the Prefect server now."""

    deployments: dict[str, str]
    """Id by full name (`flow/deployment`)."""
    pools: tuple[str, ...]
    automations: tuple[str, ...]
    notifications: bool
    """A webhook is told about failed runs and new champions."""
    server: str


def deploy(
    recipe: RunConfig,
    *,
    prefect_file: Path | None = None,
    name: str | None = None,
    pool: str | None = None,
    gpu_slots: int = 1,
    webhook_url: str | None = None,
    heartbeat_window_seconds: int = HEARTBEAT_WINDOW_SECONDS,
) -> DeployReport:
    """Put the deployments of `prefect_file` (default: the one here, else ours) for `recipe` on the server.

    `name` distinguishes a second recipe (`finetune-<name>`), `pool` overrides the file's work pool. Without
    `webhook_url` (or STSFLOW_WEBHOOK_URL) no notification automation is made, and one that is there stays as it is.
    Raises RecipeError for a name that is none, PreconditionError when the file is missing or wrong, or no server is
    named or answers.
    """
    for option, given in (("--name", name), ("--pool", pool)):
        if given is not None:
            SERVICE.check(option, given)
    _require_a_server()
    webhook_url = webhook_url or os.environ.get(WEBHOOK_VARIABLE) or None
    if webhook_url and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", webhook_url):
        raise PreconditionError("the webhook's address is not one of http:// or https://")  # it may hold a secret
    entries = read_deployments(prefect_file or default_file())
    with get_client(sync_client=True) as client:
        _check_server(client)
        pools = sorted({"cpu", "gpu", *(pool or entry.work_pool.name for entry in entries)})
        for each in pools:
            make_pool(client, each)
        client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, gpu_slots)
        deployments = {}
        for entry in entries:
            made = entry if name is None else entry.model_copy(update={"name": f"{entry.name}-{name}"})
            full_name, identifier = make_deployment(made, recipe, pool or entry.work_pool.name)
            deployments[full_name] = str(identifier)
        automations = [heartbeat_automation(heartbeat_window_seconds)]
        if webhook_url:
            automations += notification_automations(save_webhook(webhook_url))
        for automation in automations:
            make_automation(client, automation)
        notified = bool(webhook_url) or bool(client.read_automations_by_name("stsflow: run failed"))
        return DeployReport(
            deployments=deployments,
            pools=tuple(pools),
            automations=tuple(automation.name for automation in automations),
            notifications=notified,
            server=str(client.api_url),
        )


def print_deployments(report: DeployReport, console: Console) -> None:
    """Print what is on the server now, and how to start a run by hand."""
    for name in report.deployments:
        console.print(f"deployed {name}", highlight=False)
    console.print(f"work pools {', '.join(report.pools)}; {len(report.automations)} automations", highlight=False)
    if not report.notifications:
        console.print(f"nobody is told about failures; name a webhook in {WEBHOOK_VARIABLE}", highlight=False)
    server, deployment = quote(report.server.rstrip("/")), quote(next(iter(report.deployments)))
    command = f"PREFECT_API_URL={server} prefect deployment run {deployment}"
    services = status(Workspace.here()).services
    if services and services.auth_file and services.prefect_api_url == report.server.rstrip("/"):
        command = f'PREFECT_API_AUTH_STRING="$(head -n 1 {quote(str(services.auth_file))})" {command}'
    console.print(f"now: {command}", highlight=False, soft_wrap=True)


def make_pool(client: SyncPrefectClient, name: str) -> None:
    """The work pool `name` (type process) and its queues, where they are missing; an existing pool keeps its type."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type="process",
                description=f"stsflow runs on {name.upper()} machines",
                base_job_template=ProcessWorker.get_default_base_job_template(),
            )
        )
    present = {queue["name"] for queue in _post(client, "/work_pools/{work_pool_name}/queues/filter", name, {})}
    for queue, priority in QUEUES.items():
        if queue not in present:
            _post(client, "/work_pools/{work_pool_name}/queues", name, {"name": queue, "priority": priority})


def make_deployment(entry: DeploymentEntry, recipe: RunConfig, pool: str) -> tuple[str, UUID]:
    """Create or update one deployment with `recipe` as its parameter; return its full name and id."""
    flow = import_object(entry.entrypoint)
    variables = entry.work_pool.job_variables
    deployment = flow.to_deployment(
        entry.name,
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=entry.description,
        tags=entry.tags,
        schedules=[schedule.schedule() for schedule in entry.schedules],
        concurrency_limit=entry.concurrency_limit,
        parameters=entry.parameters | {"recipe": recipe.model_dump(mode="json")},
        enforce_parameter_schema=entry.enforce_parameter_schema,
        work_pool_name=pool,
        work_queue_name=entry.work_pool.work_queue_name,
        job_variables=variables | {"env": RUN_ENVIRONMENT | variables.get("env", {})},
    )
    return f"{flow.name}/{entry.name}", deployment.apply()


def _post(client: SyncPrefectClient, path: ServerRoutes, pool: str, body: Mapping[str, Any]) -> Any:
    response = client.request("POST", path, path_params={"work_pool_name": pool}, json=dict(body))
    response.raise_for_status()
    return response.json()


def _require_a_server() -> None:
    """Refuse where no server is named: Prefect would start one for this call, and it would end with it."""
    if not PREFECT_API_URL.value():
        raise PreconditionError(
            "a deployment needs a Prefect server that stays, and none is named: start one with `stsflow up`, or set "
            "PREFECT_API_URL to yours."
        )


def _check_server(client: SyncPrefectClient) -> None:
    problem = client.api_healthcheck()
    if problem is not None:
        raise PreconditionError(
            f"the Prefect server at {client.api_url} does not answer ({problem}); start one with `stsflow up`."
        )
    try:
        client.api_version()  # unlike its health, this is for those alone who know the password
    except PrefectHTTPStatusError as error:
        raise PreconditionError(
            f"the Prefect server at {client.api_url} does not let us in (status {error.response.status_code}); set "
            "PREFECT_API_AUTH_STRING to `user:password`, or give the command in the workspace of `stsflow up`."
        ) from error
