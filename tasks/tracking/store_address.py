"""Addresses of MLflow's stores: which ones a run can be recorded in, said before MLflow is asked.

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

DATABASES = {"sqlite": None, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Kinds of database, each with the port of a server that names none."""
SERVERS = ("http", "https", "databricks", "databricks-uc", "uc")
ALLOWED = "http:// or https:// (an MLflow server), sqlite:///PATH, postgresql://, mysql://, mssql://"


def check_addresses(*, timeout_seconds: float = 5.0) -> None:
    """Raise PreconditionError where MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI names no store that can be used."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if address := os.environ.get(variable):
            _check(variable, address, timeout_seconds)


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
