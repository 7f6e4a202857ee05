"""What `stsflow up` started, as a record on disk that holds no secret."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field

from stsflow.tasks.ground.errors import DamagedRecord
from stsflow.tasks.ground.names import ServiceName
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace

RECORD_NAME = "services.json"
MARK_SUFFIX = ".pid.json"


class Services(Record):
    """Addresses, stores and pools of one set of servers. What a person may read; passwords live elsewhere."""

    host: str = "127.0.0.1"
    """Address that both servers listen on."""
    prefect_port: int
    mlflow_port: int
    prefect_database: str
    """SQLAlchemy URL without a password."""
    mlflow_database: str
    """SQLAlchemy URL without a password."""
    artifacts: str
    """Folder or URL where the MLflow server keeps artifacts."""
    pools: tuple[ServiceName, ...] = ("cpu",)
    """Work pools; each has one worker."""
    worker_limit: int = Field(default=4, ge=1)
    """Flow runs that one worker runs at the same time."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides loopback and `host`, under which the servers may be asked for (`name` or `name:port`)."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins, besides the servers' own, whose pages may call them (`https://name`)."""
    user: str | None = None
    """User name of both servers; None: no password is asked for."""
    auth_file: Path | None = None
    """File that holds user and password; None: they came from the environment, or there is no password."""
    directory: Path
    """Working directory of the workers."""

    @property
    def client_host(self) -> str:
        """Address for a client on this machine."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host

    @property
    def prefect_url(self) -> str:
        """Where a person opens the Prefect UI."""
        return f"http://{bracketed(self.client_host)}:{self.prefect_port}"

    @property
    def prefect_api_url(self) -> str:
        """Value of PREFECT_API_URL."""
        return f"{self.prefect_url}/api"

    @property
    def mlflow_url(self) -> str:
        """MLflow UI and value of MLFLOW_TRACKING_URI."""
        return f"http://{bracketed(self.client_host)}:{self.mlflow_port}"

    @property
    def health_urls(self) -> dict[str, str]:
        """What must answer 200 before a server counts as ready."""
        return {"prefect": f"{self.prefect_api_url}/health", "mlflow": f"{self.mlflow_url}/health"}

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of all processes, servers first."""
        return ("mlflow", "prefect", *(f"worker-{pool}" for pool in self.pools))

    def shares_embedded_store(self, workspace: Workspace) -> bool:
        """Whether the MLflow server keeps the very store that runs without a server use, on this machine alone."""
        return (
            self.mlflow_database == f"sqlite:///{workspace.mlflow_database}"
            and self.artifacts == str(workspace.mlflow_artifacts)
            and is_loopback(self.host)
        )

    def hosts(self, port: int) -> tuple[str, ...]:
        """Every value that the Host header may have for the server on `port`."""
        own = ("127.0.0.1", "localhost", "[::1]", bracketed(self.client_host))
        named = tuple(name if ":" in name else f"{name}:{port}" for name in self.allowed_hosts)
        return tuple(dict.fromkeys([f"{name}:{port}" for name in own] + list(named) + list(self.allowed_hosts)))

    def origins(self, port: int) -> tuple[str, ...]:
        """Every value that the Origin header may have for the server on `port`."""
        return tuple(dict.fromkeys([f"http://{host}" for host in self.hosts(port)] + list(self.allowed_origins)))


class Mark(Record):
    """The running process of a service, as it left it."""

    pid: int
    started: float
    """Creation time of that process: a number is used again, the pair is not."""


class ServicesReport(Record):
    """How the servers stand, for `stsflow up` and `stsflow down`."""

    services: Services | None = None
    """None: nothing is up."""
    already: bool = False
    """`up` found them running."""
    states: dict[str, str] = Field(default_factory=dict)
    """State of each process, in supervisor's words, such as RUNNING."""
    ready: bool = False
    """Both servers answer their health checks and every worker runs."""
    ended: tuple[str, ...] = ()
    """What `down` ended."""
    logs: Path
    """Folder of the logs."""


def record_path(workspace: Workspace) -> Path:
    """Where the record of the running services lies."""
    return workspace.services / RECORD_NAME


def recorded(workspace: Workspace) -> Services:
    """The record of the running services; raises DamagedRecord, with the way out, when it cannot be read."""
    try:
        return Services.load(record_path(workspace))
    except DamagedRecord as error:
        raise DamagedRecord(f"{error.message}; `stsflow down` ends what runs, `stsflow up` starts it anew") from error


def mark_path(workspace: Workspace, name: str) -> Path:
    """Where the running process of service `name` left its id and start time."""
    return workspace.services / f"{name}{MARK_SUFFIX}"


def worker_name(pool: str) -> str:
    """Name under which the worker of `pool` shows in Prefect."""
    return f"stsflow-{pool}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """`host` as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
