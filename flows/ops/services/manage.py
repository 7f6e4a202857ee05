"""Start the servers and workers of a workspace, say how they stand, and end exactly what was started."""

from __future__ import annotations

import os
import re
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stsflow.flows.ops.loopback import reach_loopback_directly
from stsflow.flows.ops.services import supervisor
from stsflow.flows.ops.services.database import DATABASE_VARIABLE, Databases, choose_databases, make_databases
from stsflow.flows.ops.services.passwords import (
    AUTH_VARIABLE,
    DATABASE_PASSWORD_VARIABLE,
    Auth,
    own_password_file,
    read_auth,
)
from stsflow.flows.ops.services.ports import port_to_listen_on, require_address
from stsflow.flows.ops.services.processes import end_leftovers, end_services
from stsflow.flows.ops.services.readiness import answers, wait_until_ready
from stsflow.flows.ops.services.settings import Services, ServicesReport, is_loopback, record_path, recorded
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.names import SERVICE
from stsflow.tasks.ground.workspace import Workspace

PREFECT_PORT = 4200
MLFLOW_PORT = 5000


def up(
    workspace: Workspace,
    *,
    host: str = "127.0.0.1",
    prefect_port: int | None = None,
    mlflow_port: int | None = None,
    database_url: str | None = None,
    artifacts: str | None = None,
    pools: tuple[str, ...] = ("cpu",),
    worker_limit: int = 4,
    allowed_hosts: tuple[str, ...] = (),
    allowed_origins: tuple[str, ...] = (),
    auth_file: Path | None = None,
    no_auth: bool = False,
    timeout_seconds: float = 180.0,
) -> ServicesReport:
    """Start a Prefect server, an MLflow server and a worker for each pool, and return when all are ready.

    A port that is not given is 4200 or 5000 where free, else any free one. `database_url` falls back to
    STSFLOW_DATABASE_URL, then to SQLite. The password comes from `auth_file` or STSFLOW_AUTH, else from the workspace's
    own file, which is made where it is missing; with `no_auth` none is asked for. When they run already with the same
    settings nothing happens (`already`), and programs that had given up are started again.
    Raises PreconditionError: a name or address is none, a port is taken, the database cannot be used, other settings
    are running, a server is not ready in time (what was started is ended again).
    """
    database_url = database_url or os.environ.get(DATABASE_VARIABLE) or None
    _check_options(host, pools, allowed_hosts, allowed_origins)
    if no_auth and auth_file is not None:
        raise PreconditionError("--auth-file and --no-auth exclude each other.")
    if no_auth and not is_loopback(host):
        raise PreconditionError(
            f"servers on {host} can be reached from other machines and need a password: leave --no-auth out, or listen "
            "on 127.0.0.1."
        )
    auth = None if no_auth else read_auth(auth_file)
    workspace.services.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(workspace):
        if auth is None and not no_auth:
            auth_file = own_password_file(workspace)
            auth = read_auth(auth_file)
        databases = choose_databases(workspace, database_url)
        wanted = {
            "host": host, "prefect_database": databases.prefect, "mlflow_database": databases.mlflow,
            "artifacts": artifacts or str(workspace.mlflow_artifacts), "pools": pools, "worker_limit": worker_limit,
            "allowed_hosts": allowed_hosts, "allowed_origins": allowed_origins, "user": auth.user if auth else None,
            "auth_file": auth_file.absolute() if auth_file else None,
        }  # fmt: skip
        given = {"prefect_port": prefect_port, "mlflow_port": mlflow_port}
        if supervisor.ask(workspace) is not None:
            asked = wanted | {name: port for name, port in given.items() if port is not None}
            return _up_already(workspace, asked, auth, timeout_seconds)
        end_leftovers(workspace)  # of a manager that was killed: they would still hold ports and databases
        services = Services.model_validate(
            wanted
            | {
                "prefect_port": port_to_listen_on(host, prefect_port, PREFECT_PORT, "--prefect-port"),
                "mlflow_port": port_to_listen_on(host, mlflow_port, MLFLOW_PORT, "--mlflow-port"),
                "directory": Path.cwd(),
            }
        )
        return _start(workspace, services, databases, auth, timeout_seconds)


def _check_options(
    host: str, pools: tuple[str, ...], allowed_hosts: tuple[str, ...], allowed_origins: tuple[str, ...]
) -> None:
    """Raise PreconditionError for a text that would become another setting than the one it is given for."""
    for pool in pools:
        SERVICE.check("--pool", pool)
    if len(set(pools)) != len(pools):
        raise PreconditionError(f"--pool: one was named twice: {', '.join(pools)}.")
    for option, values, example in (
        ("--allowed-host", allowed_hosts, "team.example.org"),
        ("--allowed-origin", allowed_origins, "https://team.example.org"),
    ):
        for value in values:
            if not re.fullmatch(r"[A-Za-z0-9_.:/\[\]-]+", value):  # each becomes one entry of a list with commas
                raise PreconditionError(f"{option} {value!r} cannot be used; it looks like {example}.")
    require_address(host)


def _start(
    workspace: Workspace, services: Services, databases: Databases, auth: Auth | None, timeout_seconds: float
) -> ServicesReport:
    make_databases(databases)
    for folder in (workspace.prefect_home, workspace.mlflow_artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    services.write(record_path(workspace))
    reach_loopback_directly(services.client_host)  # the workers inherit it
    inherited = {AUTH_VARIABLE: auth.pair if auth else ""}
    if databases.password:
        inherited[DATABASE_PASSWORD_VARIABLE] = databases.password
    supervisor.start(workspace, supervisor.write_configuration(workspace, services), inherited)
    try:
        return wait_until_ready(workspace, services, auth, timeout_seconds, already=False)
    except BaseException:
        end_services(workspace)
        raise


def down(workspace: Workspace) -> ServicesReport:
    """End everything that `up` started in this workspace, runs of its workers among it, and nothing else.

    Harmless when nothing is up. After a killed manager, ends the services that it left behind.
    """
    if not workspace.services.is_dir():
        return ServicesReport(logs=workspace.services)
    with _one_at_a_time(workspace):
        return ServicesReport(ended=end_services(workspace), logs=workspace.services)


def status(workspace: Workspace) -> ServicesReport:
    """How the services of the workspace stand now; starts and ends nothing."""
    manager = supervisor.ask(workspace)
    if manager is None or not record_path(workspace).is_file():
        return ServicesReport(logs=workspace.services)
    services = recorded(workspace)
    states = supervisor.states(manager)
    ready = all(state == "RUNNING" for state in states.values()) and all(map(answers, services.health_urls.values()))
    return ServicesReport(services=services, already=True, states=states, ready=ready, logs=workspace.services)


def _up_already(
    workspace: Workspace, wanted: Mapping[str, object], auth: Auth | None, timeout_seconds: float
) -> ServicesReport:
    services = recorded(workspace)
    differing = [key for key, value in wanted.items() if getattr(services, key) != value]
    if differing:
        found = ", ".join(f"{key} {getattr(services, key)!r} and not {wanted[key]!r}" for key in differing)
        raise PreconditionError(f"services are up already with {found}; run `stsflow down` first.")
    manager = supervisor.ask(workspace)
    for name, state in supervisor.states(manager).items():
        if state in ("FATAL", "EXITED", "STOPPED"):
            try:
                manager.startProcess(name, False)
            except xmlrpc.client.Fault as fault:
                raise PreconditionError(f"{name} does not start: {fault.faultString}") from fault
    return wait_until_ready(workspace, services, auth, timeout_seconds, already=True)


@contextmanager
def _one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Only one `up` or `down` works on a workspace; another one is told so."""
    try:
        with FileLock(workspace.services / "services.lock", timeout=0):
            yield
    except Timeout as error:
        raise PreconditionError(
            "another `stsflow up` or `stsflow down` is at work in this workspace; wait for it to end."
        ) from error
