"""Where the record goes: the address of MLflow's store, and whether it can be used, said before MLflow is asked.

MLflow itself answers a wrong one with a traceback, and waits for a database that is away for longer than an hour.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.refusals import in_short

DATABASES = {"sqlite": None, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Kinds of database, each with the port of a server that names none."""
SERVERS = ("http", "https", "databricks", "databricks-uc", "uc")
ALLOWED = "http:// or https:// (an MLflow server), sqlite:///PATH, postgresql://, mysql://, mssql://"


def tracking_uri(workspace: Workspace) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the workspace's own SQLite store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.mlflow_database}"


def check_addresses(*, timeout_seconds: float = 5.0) -> None:
    """Raise PreconditionError where MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI names no store that can be used."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if address := os.environ.get(variable):
            _check(variable, address, timeout_seconds)


def check_reachable(workspace: Workspace, *, timeout_seconds: float = 10.0) -> None:
    """Raise PreconditionError when the tracking server of this process does not answer; SQLite always passes."""
    check_addresses()
    uri = tracking_uri(workspace)
    if not uri.startswith(("http://", "https://")):
        return
    import httpx

    shown = without_credentials(uri)
    try:
        answer = httpx.get(uri.rstrip("/") + "/health", timeout=timeout_seconds, auth=mlflow_login())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PreconditionError(
            f"the MLflow server at {shown} (MLFLOW_TRACKING_URI) does not answer: {in_short(error)}; start it "
            "(`stsflow up`), correct the address, or unset the variable to use the embedded store"
        ) from None
    if answer.status_code != 200:
        raise PreconditionError(
            f"the MLflow server at {shown} (MLFLOW_TRACKING_URI) answers /health with {answer.status_code}; "
            "expected 200: is this an MLflow server, and are user name and password right?"
        )


def mlflow_login() -> tuple[str, str] | None:
    """User and password for an MLflow server that the environment holds; None where it lacks one of them."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None


def _check(variable: str, address: str, timeout_seconds: float) -> None:
    shown = f"{variable} is {without_credentials(address)!r}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PreconditionError(f"{shown}, which is no address: {error}; allowed: {ALLOWED}") from None
    kind = parts.scheme.partition("+")[0]
    if kind in ("", "file") and address != "databricks":
        raise PreconditionError(
            f"{shown}, a store in files, which MLflow has ended: use sqlite:///PATH (`mlflow migrate-filestore` moves "
            f"the runs) or another of: {ALLOWED}"
        )
    if kind not in (*DATABASES, *SERVERS, *_of_plugins()) and address != "databricks":
        raise PreconditionError(f"{shown}, which is no store of MLflow; allowed: {ALLOWED}")
    default = DATABASES.get(kind)
    if default is None or not host:
        return
    try:
        socket.create_connection((host, port or default), timeout=timeout_seconds).close()
    except OSError as error:
        raise PreconditionError(
            f"{shown}: the database server at {host}:{port or default} does not answer ({error}); start it, correct "
            "the address, or unset the variable to use the embedded store"
        ) from None


def _of_plugins() -> Iterable[str]:
    return (
        entry.name
        for group in ("tracking_store", "model_registry_store")
        for entry in entry_points(group=f"mlflow.{group}")
    )
