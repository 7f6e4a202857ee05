"""Where the two servers keep their records.

Without a database URL both use SQLite files in the workspace. With one, it names a PostgreSQL server and a prefix: the
databases are `<prefix>_prefect` and `<prefix>_mlflow`, the prefix being the URL's path, or `stsflow` when it has none.
Missing databases are made, where the user may do that.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace

DATABASE_VARIABLE = "STSFLOW_DATABASE_URL"
DEFAULT_PREFIX = "stsflow"


@dataclass(frozen=True)
class Databases:
    """The two SQLAlchemy URLs, without password, and the password they share."""

    prefect: str
    mlflow: str
    password: str | None = field(default=None, repr=False)


def choose_databases(workspace: Workspace, database_url: str | None) -> Databases:
    """The databases that `database_url` means (None: SQLite in the workspace); touches no server."""
    if database_url is None:
        home = workspace.prefect_home
        return Databases(f"sqlite+aiosqlite:///{home / 'prefect.db'}", f"sqlite:///{workspace.mlflow_database}")
    url = _parsed(database_url)
    prefix = url.database or DEFAULT_PREFIX
    # The driver is named: which one a bare `postgresql` means depends on SQLAlchemy's version.
    bare = URL.create(
        "postgresql+psycopg2", username=url.username, host=url.host, port=url.port, database=prefix, query=url.query
    )
    return Databases(
        prefect=_text(bare.set(drivername="postgresql+asyncpg", database=f"{prefix}_prefect")),
        mlflow=_text(bare.set(database=f"{prefix}_mlflow")),
        password=url.password,
    )


def make_databases(databases: Databases) -> tuple[str, ...]:
    """Create the PostgreSQL databases that do not exist yet; return their names. Nothing to do for SQLite.

    Raises PreconditionError when the driver is missing, the server does not answer, refuses the password, or the user
    may not create databases.
    """
    url = make_url(databases.mlflow)
    if url.get_backend_name() != "postgresql":
        return ()
    try:
        import psycopg2
        from psycopg2 import errors, sql
    except ImportError as error:
        raise PreconditionError("PostgreSQL needs its drivers: pip install 'stsflow[postgres]'.") from error
    where = f"{url.host or url.query.get('host') or 'localhost'}:{url.port or 5432}"
    wanted = [str(make_url(text).database) for text in (databases.prefect, databases.mlflow)]
    try:
        connection = connect_to_postgres(url.set(database="postgres"), databases.password)
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise PreconditionError(f"the PostgreSQL server at {where} cannot be used: {reason}") from error
    connection.autocommit = True
    try:
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            present = {row[0] for row in cursor.fetchall()}
            made = tuple(name for name in wanted if name not in present)
            for name in made:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except errors.InsufficientPrivilege as error:
        statements = "; ".join(f'CREATE DATABASE "{name}" OWNER "{url.username}"' for name in wanted)
        raise PreconditionError(
            f"user {url.username} may not create databases at {where}; have an administrator run: {statements}"
        ) from error
    return made


def connect_to_postgres(url: URL, password: str | None, timeout_seconds: int = 10) -> Any:
    """A connection to the database at `url` (without password); psycopg2's errors are the caller's to tell."""
    import psycopg2

    return psycopg2.connect(
        host=url.host or url.query.get("host"), port=url.port, user=url.username, password=password,
        dbname=url.database, connect_timeout=timeout_seconds,
    )  # fmt: skip


def try_database(url_text: str, password: str | None, *, timeout_seconds: int = 5) -> str | None:
    """Why the PostgreSQL database at `url_text` (without password) cannot be used now, or None when it answers."""
    url = make_url(url_text)
    try:
        import psycopg2
    except ImportError:
        return "its driver is missing: pip install 'stsflow[postgres]'"
    try:
        with closing(connect_to_postgres(url, password, timeout_seconds)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        return str(error).strip().splitlines()[-1]
    return None


def _parsed(database_url: str) -> URL:
    example = "postgresql://user:password@host:5432/stsflow"
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise PreconditionError(f"the database URL cannot be read; it looks like {example}.") from error
    if url.get_backend_name() != "postgresql":
        raise PreconditionError(
            f"the database URL names {url.get_backend_name()}; PostgreSQL is allowed ({example}), and SQLite is what "
            "you get without a URL."
        )
    return url


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
