"""Start the servers and workers of a workspace, say how they stand, and end exactly what was started."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
import xmlrpc.client
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from filelock import FileLock, Timeout

from stsflow.flows.command.terminal import reach_loopback_directly
from stsflow.flows.ops.services import supervisor
from stsflow.flows.ops.services.database import DATABASE_VARIABLE, Databases, choose_databases, make_databases
from stsflow.flows.ops.services.passwords import (
    AUTH_VARIABLE,
    DATABASE_PASSWORD_VARIABLE,
    Auth,
    client_environment,
    own_password_file,
    read_auth,
)
from stsflow.flows.ops.services.settings import (
    MARK_SUFFIX,
    Mark,
    Services,
    ServicesReport,
    is_loopback,
    mark_path,
    record_path,
    recorded,
    worker_name,
)
from stsflow.tasks.ground.child import last_lines
from stsflow.tasks.ground.errors import DamagedRecord, PreconditionError
from stsflow.tasks.ground.names import SERVICE
from stsflow.tasks.ground.workspace import Workspace

PREFECT_PORT = 4200
MLFLOW_PORT = 5000
GRACE_SECONDS = 45.0
TRIES = 2
"""Starts of one service that `up` watches; a third one says that it will not stay."""


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
        _end_leftovers(workspace)  # of a manager that was killed: they would still hold ports and databases
        services = Services.model_validate(
            wanted
            | {
                "prefect_port": _port(host, prefect_port, PREFECT_PORT, "--prefect-port"),
                "mlflow_port": _port(host, mlflow_port, MLFLOW_PORT, "--mlflow-port"),
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
    try:
        with socket.socket(_family_of(host), socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except (OSError, ValueError, TypeError) as error:  # the last two: a label that no name may have, a NUL
        raise PreconditionError(f"--host {host!r} is no address of this machine: {error}.") from error


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
        return _wait_until_ready(workspace, services, auth, timeout_seconds, already=False)
    except BaseException:
        _down(workspace)
        raise


def down(workspace: Workspace) -> ServicesReport:
    """End everything that `up` started in this workspace, runs of its workers among it, and nothing else.

    Harmless when nothing is up. After a killed manager, ends the services that it left behind.
    """
    if not workspace.services.is_dir():
        return ServicesReport(logs=workspace.services)
    with _one_at_a_time(workspace):
        return ServicesReport(ended=_down(workspace), logs=workspace.services)


def status(workspace: Workspace) -> ServicesReport:
    """How the services of the workspace stand now; starts and ends nothing."""
    manager = supervisor.ask(workspace)
    if manager is None or not record_path(workspace).is_file():
        return ServicesReport(logs=workspace.services)
    services = recorded(workspace)
    states = supervisor.states(manager)
    ready = all(state == "RUNNING" for state in states.values()) and all(map(_answers, services.health_urls.values()))
    return ServicesReport(services=services, already=True, states=states, ready=ready, logs=workspace.services)


def running_environment(workspace: Workspace) -> dict[str, str]:
    """What a command needs in its environment to use the running services; empty when nothing is up.

    The password, where one is asked for, comes from the file that `up` used, or again from STSFLOW_AUTH.
    """
    if supervisor.ask(workspace) is None or not record_path(workspace).is_file():
        return {}
    services = recorded(workspace)
    found = {"PREFECT_API_URL": services.prefect_api_url, "MLFLOW_TRACKING_URI": services.mlflow_url}
    return found | (client_environment(read_auth(services.auth_file)) if services.user else {})


def connect(workspace: Workspace, *, prefect: bool = True) -> bool:
    """Make this process use the running services, unless its environment names others; True when some are up.

    To be called before prefect or mlflow is imported: both read the environment then. Without `prefect` only the
    MLflow server is used: the person has a Prefect server of their own. The password goes with the address that it
    belongs to, and never to a server that the person named.
    """
    found = running_environment(workspace)
    if found:
        reach_loopback_directly(str(urlsplit(found["PREFECT_API_URL"]).hostname))
    if prefect and found:
        os.environ.setdefault("PREFECT_API_URL", found["PREFECT_API_URL"])
    if found:
        os.environ.setdefault("MLFLOW_TRACKING_URI", found["MLFLOW_TRACKING_URI"])
    for address in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        if found and os.environ.get(address, "").rstrip("/") == found[address]:
            for name, value in found.items():
                if name.startswith(address.partition("_")[0]):
                    os.environ.setdefault(name, value)
    return bool(found)


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
    return _wait_until_ready(workspace, services, auth, timeout_seconds, already=True)


def _wait_until_ready(
    workspace: Workspace, services: Services, auth: Auth | None, timeout_seconds: float, *, already: bool
) -> ServicesReport:
    deadline = time.monotonic() + timeout_seconds
    starts: dict[str, set[int]] = {name: set() for name in services.programs}
    while True:
        manager = supervisor.ask(workspace)
        if manager is None:
            raise PreconditionError(_does_not_start(workspace, "supervisord", "ended while the services started"))
        states = supervisor.states(manager)
        for name, pid in supervisor.pids(manager).items():
            starts[name] |= {pid} - {0}
            if states[name] == "FATAL" or len(starts[name]) > TRIES:
                raise PreconditionError(_does_not_start(workspace, name, "ended each time it was started"))
        waiting = [name for name, state in states.items() if state != "RUNNING"]
        waiting += [name for name, url in services.health_urls.items() if name not in waiting and not _answers(url)]
        if not waiting:
            waiting = [f"worker-{pool}" for pool in services.pools if not _is_online(workspace, services, pool, auth)]
        if not waiting:
            return ServicesReport(
                services=services, already=already, states=states, ready=True, logs=workspace.services
            )
        if time.monotonic() > deadline:
            raise PreconditionError(
                _does_not_start(workspace, waiting[0], f"was not ready within {timeout_seconds:.0f} s")
            )
        time.sleep(0.3)  # supervisor and health checks answer only when asked


def _does_not_start(workspace: Workspace, name: str, what: str) -> str:
    log = workspace.services / f"{name}.log"
    return f"{name} {what}. The end of {log}:\n{last_lines(log, 12)}"


def _down(workspace: Workspace) -> tuple[str, ...]:
    manager = supervisor.ask(workspace)
    ended: tuple[str, ...] = ()
    if manager is not None:
        ended = tuple(sorted(supervisor.states(manager)))
        family = _family([int(manager.getPID())])
        manager.shutdown()
        _, alive = psutil.wait_procs(family, timeout=GRACE_SECONDS)
        _end(alive)
    left = _end_leftovers(workspace)
    record_path(workspace).unlink(missing_ok=True)
    supervisor.socket_path(workspace).unlink(missing_ok=True)
    return ended or left


def _end_leftovers(workspace: Workspace) -> tuple[str, ...]:
    """End services whose marks name a living process with the same start time: what a killed manager left behind."""
    ended = []
    for path in sorted(workspace.services.glob(f"*{MARK_SUFFIX}")):
        mark = Mark.load_or_none(path)  # a damaged one names nobody
        if mark is not None and (process := _process_of(mark)) is not None:
            _end(_family([process.pid]))
            ended.append(path.name.removesuffix(MARK_SUFFIX))
        path.unlink(missing_ok=True)
    return tuple(ended)


def _process_of(mark: Mark) -> psutil.Process | None:
    """The process that left the mark, while it lives."""
    try:
        process = psutil.Process(mark.pid)
        ours = abs(process.create_time() - mark.started) < 0.05
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # no process of that number, or no number of a process
        return None


def _family(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and all that they started, as they stand now."""
    found: list[psutil.Process] = []
    for pid in pids:
        try:
            head = psutil.Process(pid)
            found += [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def _end(processes: list[psutil.Process]) -> None:
    """SIGTERM, then SIGKILL for those that stay. psutil checks the start time, so a reused id is never hit."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, processes = psutil.wait_procs(processes, timeout=patience)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _is_online(workspace: Workspace, services: Services, pool: str, auth: Auth | None) -> bool:
    """Whether the pool's worker, this start of it, has told the Prefect server that it is there."""
    try:
        mark = Mark.load(mark_path(workspace, f"worker-{pool}"))
        answer = httpx.post(
            f"{services.prefect_api_url}/work_pools/{pool}/workers/filter",
            json={}, timeout=5, auth=(auth.user, auth.password) if auth else None,
        )  # fmt: skip
    except (DamagedRecord, httpx.HTTPError):
        return False
    if answer.status_code != 200:
        return False
    beats = [worker["last_heartbeat_time"] for worker in answer.json() if worker["name"] == worker_name(pool)]
    return any(beat and datetime.fromisoformat(beat).timestamp() >= mark.started for beat in beats)


def _port(host: str, given: int | None, preferred: int, option: str) -> int:
    """The port to listen on: the given one, which must be free, else the preferred one, else any free one."""
    if given is not None:
        if not 1 <= given <= 65535:
            raise PreconditionError(f"{option} {given} is no port; 1 to 65535 are allowed.")
        if not _is_free(host, given):
            raise PreconditionError(
                f"port {given} is taken{_taker(given)}; choose another one with {option}, or leave it out to take any."
            )
        return given
    if _is_free(host, preferred):
        return preferred
    with socket.socket(_family_of(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family_of(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taker(port: int) -> str:
    """` by NAME (process N)` where the system lets us see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return ""


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
