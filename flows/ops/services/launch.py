"""Become one of the services: `python -m stsflow.flows.ops.services.launch NAME`, started by supervisord.

Each service gets the environment that it needs and no more: the database password reaches the servers and not the
workers, the users' password reaches no argument list. The process id stays the same across the exec, so the mark left
beside the logs names the service's own process.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from stsflow.flows.ops.services.guard import HOSTS_VARIABLE, ORIGINS_VARIABLE
from stsflow.flows.ops.services.passwords import (
    AUTH_VARIABLE,
    DATABASE_PASSWORD_VARIABLE,
    Auth,
    client_environment,
    read_auth,
)
from stsflow.flows.ops.services.readiness import answers
from stsflow.flows.ops.services.settings import Mark, Services, mark_path, recorded, worker_name
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.workspace import Workspace

# Whatever else the person's shell carries, these would turn a server into a client of another one, or speak for it.
FOREIGN_PREFIXES = ("PREFECT_", "MLFLOW_", "STSFLOW_", "PG")
QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
HEARTBEAT_SECONDS = 30  # the automation made by `stsflow deploy` waits a multiple of this


def command_of(name: str, services: Services) -> list[str]:
    """The command line of service `name`; it holds no secret."""
    python = [sys.executable, "-m"]
    if name == "prefect":
        return [
            *python, "uvicorn", "--factory", "stsflow.flows.ops.services.guard:create_app", "--host", services.host,
            "--port", str(services.prefect_port), "--no-access-log", "--timeout-graceful-shutdown", "10",
        ]  # fmt: skip
    if name == "mlflow":
        app = ["--app-name", "basic-auth"] if services.user else []
        return [
            *python, "mlflow", "server", "--host", services.host, "--port", str(services.mlflow_port),
            "--workers", "1", *app,
        ]  # fmt: skip
    pool = name.removeprefix("worker-")
    return [
        *python, "prefect", "--no-prompt", "worker", "start", "--pool", pool, "--type", "process",
        "--name", worker_name(pool), "--limit", str(services.worker_limit), "--install-policy", "never",
    ]  # fmt: skip


def environment_of(
    name: str, services: Services, workspace: Workspace, auth: Auth | None, outer: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of service `name`, made from `outer` without what is foreign to it."""
    kept = {key: value for key, value in outer.items() if not key.startswith(FOREIGN_PREFIXES)}
    kept |= QUIET | {
        "STSFLOW_WORKSPACE": str(workspace.root),
        # Packages of the current folder shadow none; uvicorn puts it on the path once more unless told another one.
        "PYTHONSAFEPATH": "1",
        "UVICORN_APP_DIR": str(workspace.services),
    }
    if name in ("prefect", "mlflow") and DATABASE_PASSWORD_VARIABLE in outer:
        kept[DATABASE_PASSWORD_VARIABLE] = outer[DATABASE_PASSWORD_VARIABLE]
    if name == "prefect":
        return kept | _prefect(services, workspace, auth)
    if name == "mlflow":
        return kept | _mlflow(services, workspace, auth, outer)
    return kept | _worker(services, workspace, auth, outer)


def main(name: str) -> None:
    """Leave the mark, wait for what the service needs, and become it."""
    workspace = Workspace.here()
    services = recorded(workspace)
    auth = read_auth() if services.user else None
    Mark(pid=os.getpid(), started=psutil.Process().create_time()).write(mark_path(workspace, name))
    if name.startswith("worker-"):
        wait_for(services.health_urls["prefect"])
    environment = environment_of(name, services, workspace, auth, os.environ)
    command = command_of(name, services)
    os.execve(command[0], command, environment)


def wait_for(url: str) -> None:
    """Return when `url` answers 200; a worker that starts before its server would only fail and be started again."""
    while not answers(url):  # `up` ends all of it when its own time is over
        time.sleep(0.5)  # a server gives no signal when it begins to listen


def _prefect(services: Services, workspace: Workspace, auth: Auth | None) -> dict[str, str]:
    origins = ",".join(services.origins(services.prefect_port))
    chosen = {
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_API_DATABASE_CONNECTION_URL": services.prefect_database,
        "PREFECT_SERVER_API_HOST": services.host,
        "PREFECT_SERVER_API_PORT": str(services.prefect_port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins,
        "PREFECT_UI_API_URL": "/api",  # whatever name the page was opened under
        "PREFECT_UI_URL": services.prefect_url,
        "PREFECT__SERVER_FINAL": "1",
        # Leases of training slots have to survive a restart of the server.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        HOSTS_VARIABLE: ",".join(services.hosts(services.prefect_port)),
        ORIGINS_VARIABLE: origins,
    }
    return chosen | ({"PREFECT_SERVER_API_AUTH_STRING": auth.pair} if auth else {})


def _mlflow(services: Services, workspace: Workspace, auth: Auth | None, outer: Mapping[str, str]) -> dict[str, str]:
    chosen = {
        "MLFLOW_BACKEND_STORE_URI": services.mlflow_database,
        "MLFLOW_ARTIFACTS_DESTINATION": services.artifacts,
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(services.hosts(services.mlflow_port)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(services.origins(services.mlflow_port)),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job runners serve features that are not used here
    }
    if services.shares_embedded_store(workspace):
        # Artifacts by path, as the embedded store has them: after `down`, runs made through the server stay readable.
        chosen["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = workspace.mlflow_artifacts.as_uri()
    if "MLFLOW_S3_ENDPOINT_URL" in outer:
        chosen["MLFLOW_S3_ENDPOINT_URL"] = outer["MLFLOW_S3_ENDPOINT_URL"]
    if auth is None:
        return chosen
    return chosen | {
        "MLFLOW_AUTH_CONFIG_PATH": str(_auth_configuration(services, workspace)),
        "MLFLOW_AUTH_ADMIN_USERNAME": auth.user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": auth.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": _kept_secret(workspace.services / "flask.key"),
    }


def _worker(services: Services, workspace: Workspace, auth: Auth | None, outer: Mapping[str, str]) -> dict[str, str]:
    ours = ("PREFECT_LOGGING_", "PREFECT_UI_", "STSFLOW_")
    kept = {key: value for key, value in outer.items() if key.startswith(ours)}
    kept.pop(AUTH_VARIABLE, None)
    kept.pop("STSFLOW_DATABASE_URL", None)
    return kept | client_environment(auth) | {
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_API_URL": services.prefect_api_url,
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "MLFLOW_TRACKING_URI": services.mlflow_url,
        "STSFLOW_WORKSPACE": str(workspace.root),
    }  # fmt: skip


def _auth_configuration(services: Services, workspace: Workspace) -> Path:
    """MLflow reads these from a file only. Its user table stands in the tracking database and holds our one user."""
    lines = (
        "[mlflow]",
        "default_permission = READ",
        f"database_uri = {services.mlflow_database.replace('%', '%%')}",
        "authorization_function = stsflow.tasks.tracking.login:authenticate",
        "grant_default_workspace_access = false",
    )
    return write_text_atomically(workspace.services / "basic_auth.ini", "\n".join(lines) + "\n")


def _kept_secret(path: Path) -> str:
    """A random text that is the same at every start, so that sessions outlive a restart; readable by the owner."""
    if not path.is_file():
        write_text_atomically(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
