"""Where Optuna keeps the trials of sweeps: an SQLite file of the workspace, or a PostgreSQL database."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.sqlite import require_usable
from stsflow.tasks.ground.workspace import Workspace

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

logger = logging.getLogger(__name__)

VARIABLE = "STSFLOW_SWEEP_STORAGE"
"""Holds the address: it may carry a password, which must not become a parameter of a flow run."""
ALLOWED = "postgresql://user:password@host:5432/database, or sqlite:///PATH"
SECONDS_TO_CONNECT = 10
SECONDS_FOR_A_WRITER = 60
"""SQLite lets one connection write at a time; the others wait."""


def check_storage(workspace: Workspace) -> None:
    """Raise PreconditionError where Optuna is not installed, or the storage's address names nothing that answers."""
    if find_spec("optuna") is None:
        raise PreconditionError("a sweep needs Optuna, which is not installed; pip install 'stsflow[sweep]'")
    url = _address(workspace)
    if url.get_backend_name() == "sqlite":
        if url.database == str(workspace.sweep_database):
            require_usable(workspace.sweep_database)
        return
    if find_spec("psycopg2") is None:
        raise PreconditionError("the storage is PostgreSQL, whose driver is missing; pip install 'stsflow[postgres]'")
    try:
        with create_engine(url, poolclass=NullPool, connect_args=_patience(url)).connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()[-1]
        raise PreconditionError(f"the storage {_shown(url)} does not answer: {said}") from None


def open_storage(workspace: Workspace) -> RDBStorage:
    """Optuna's storage, its tables made where they are missing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = _address(workspace)
    workspace.sweeps.mkdir(exist_ok=True)
    kwargs = {"connect_args": _patience(url), "pool_pre_ping": True}
    with lease(workspace.lease("sweep-tables")):  # two processes that make them at once would meet
        return optuna.storages.RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=kwargs)


@contextmanager
def sole_sweep(workspace: Workspace, name: str) -> Iterator[None]:
    """One process at a time works on the sweep `name`, wherever the others are.

    Raises PreconditionError while another one does. Its end, however it comes, lets the next one in.
    """
    url = _address(workspace)
    with lease(workspace.lease(f"sweep-{name}"), on_wait=lambda who: logger.info("waiting for the sweep: %s", who)):
        if url.get_backend_name() != "postgresql":
            yield
            return
        engine = create_engine(url, poolclass=NullPool, connect_args=_patience(url))
        with engine.connect() as connection:  # the server drops the lock with the connection
            number = int(fingerprint("stsflow sweep", name)[:15], 16)
            if not connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar():
                raise PreconditionError(f"another process works on the sweep {name} in {_shown(url)}; wait for its end")
            connection.commit()
            yield


def _address(workspace: Workspace) -> URL:
    given = os.environ.get(VARIABLE)
    if not given:
        return URL.create("sqlite", database=str(workspace.sweep_database))
    try:
        url = make_url(given)
    except ArgumentError:
        raise PreconditionError(f"the storage of a sweep ({VARIABLE}, --storage): allowed is {ALLOWED}") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise PreconditionError(f"the storage {_shown(url)} is no database of trials; allowed: {ALLOWED}")
    return url.set(drivername="postgresql+psycopg2") if url.get_backend_name() == "postgresql" else url


def _patience(url: URL) -> dict[str, int]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": SECONDS_FOR_A_WRITER}
    return {"connect_timeout": SECONDS_TO_CONNECT}


def _shown(url: URL) -> str:
    return without_credentials(url.render_as_string(hide_password=True))
