"""Backup and restore of everything that the two servers keep: both databases and all artifacts.

    <target>/
      prefect.sqlite | prefect.dump     flow runs, deployments, automations, blocks
      mlflow.sqlite  | mlflow.dump      runs, metrics, registered models, aliases, users
      artifacts/                        files of all runs and models
      keys/                             what signs MLflow's sessions
      manifest.json                     when, from which versions, SHA-256 of every file

Databases come first and artifacts second: an artifact that a database names was written before it was named, so a
backup taken while runs are at work is whole for everything that it knows. SQLite is copied through its backup
interface, PostgreSQL by pg_dump in one snapshot. `python -m stsflow.flows.ops.backup --help`
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.engine import URL, make_url

from stsflow.flows.ops.services import status
from stsflow.flows.ops.services.database import (
    DATABASE_VARIABLE,
    Databases,
    choose_databases,
    connect_to_postgres,
    make_databases,
)
from stsflow.flows.ops.services.passwords import DATABASE_PASSWORD_VARIABLE
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import PreconditionError, RunFailed, StsflowError
from stsflow.tasks.ground.files import folder_made_whole
from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.artifact_store import fetch_all, local_folder, send_all

MANIFEST = "manifest.json"
KEYS = {"flask.key": "services/flask.key"}
"""Name in the backup, and path in the workspace. The key of Prefect's blocks is in its database."""


class Manifest(Record):
    """What a backup holds."""

    made: datetime
    versions: dict[str, str]
    databases: dict[str, str]
    """`sqlite` or `postgresql`, by server."""
    files: dict[str, str]
    """SHA-256 by path in the backup."""


def backup(
    workspace: Workspace, target: Path, *, database_url: str | None = None, artifacts: str | None = None
) -> Manifest:
    """Write a backup to the new folder `target`, all or nothing; servers may run meanwhile.

    Database and artifact store are those of the running services, else the given ones, else the workspace's own.
    Raises PreconditionError when `target` exists or a database is not there, RunFailed when pg_dump fails.
    """
    if target.exists():
        raise PreconditionError(f"{target} exists already; a backup is never written over another one.")
    databases, store = _stores(workspace, database_url, artifacts)
    with folder_made_whole(target.absolute()) as folder:
        kinds = {}
        for name, url in (("prefect", databases.prefect), ("mlflow", databases.mlflow)):
            kinds[name] = _dump(make_url(url), folder, name, databases.password)
        fetch_all(store, folder / "artifacts")
        for name, path in KEYS.items():
            if (workspace.root / path).is_file():
                (folder / "keys").mkdir(mode=0o700, exist_ok=True)
                shutil.copy2(workspace.root / path, folder / "keys" / name)
        manifest = Manifest(made=datetime.now(UTC), versions=versions(), databases=kinds, files=_hashes(folder))
        manifest.write(folder / MANIFEST)
    return manifest


def restore(
    workspace: Workspace,
    source: Path,
    *,
    database_url: str | None = None,
    artifacts: str | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Bring back the backup in `source`; the services of the workspace must be down.

    Every file is checked against the manifest before anything is touched. Raises PreconditionError when services run,
    the backup is damaged or of the other kind of database, or something is there already and `overwrite` is false.
    """
    if status(workspace).services is not None:
        raise PreconditionError("the services are up; run `stsflow down` before a restore.")
    manifest = check_backup(source)
    databases, store = _stores(workspace, database_url, artifacts)
    urls = {"prefect": make_url(databases.prefect), "mlflow": make_url(databases.mlflow)}
    for name, url in urls.items():
        if manifest.databases[name] != url.get_backend_name():
            raise PreconditionError(
                f"the backup holds {name} in {manifest.databases[name]}, and it would go to {url.get_backend_name()}; "
                "a restore does not change the kind of database."
            )
        if not overwrite and _holds_something(url, databases.password):
            raise PreconditionError(f"the {name} database is there already; to replace it, restore with --overwrite.")
    make_databases(databases)
    for name, url in urls.items():
        _load(url, source, name, databases.password)
    if overwrite and (folder := local_folder(store)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
    send_all(source / "artifacts", store)
    for name, path in KEYS.items():
        if (source / "keys" / name).is_file():
            (workspace.root / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(source / "keys" / name, workspace.root / path)
    return manifest


def check_backup(source: Path) -> Manifest:
    """The manifest of the backup in `source`, every file read and compared with it; raises PreconditionError."""
    try:
        manifest = Manifest.load(source / MANIFEST)
    except (OSError, ValueError) as error:
        raise PreconditionError(f"{source} is no backup: {MANIFEST} cannot be read.") from error
    found = _hashes(source)
    wrong = sorted(name for name in manifest.files.keys() | found.keys() if manifest.files.get(name) != found.get(name))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise PreconditionError(
            f"the backup {source} is damaged: {', '.join(wrong[:3])}{more} changed since it was made."
        )
    return manifest


def _stores(workspace: Workspace, database_url: str | None, artifacts: str | None) -> tuple[Databases, str]:
    services = status(workspace).services
    chosen = choose_databases(workspace, database_url or os.environ.get(DATABASE_VARIABLE) or None)
    if services is not None:
        password = chosen.password or os.environ.get(DATABASE_PASSWORD_VARIABLE)
        return Databases(services.prefect_database, services.mlflow_database, password), services.artifacts
    return chosen, artifacts or str(workspace.mlflow_artifacts)


def _dump(url: URL, folder: Path, name: str, password: str | None) -> str:
    """Write the database to `folder`; return its kind."""
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        if not path.is_file():
            raise PreconditionError(f"the {name} database {path} does not exist; nothing was backed up.")
        with closing(sqlite3.connect(path)) as origin, closing(sqlite3.connect(folder / f"{name}.sqlite")) as copy:
            origin.backup(copy)
        return "sqlite"
    _run_postgres(
        "pg_dump", ["--format=custom", "--no-owner", f"--file={folder / f'{name}.dump'}"], url, password,
        f"{name} could not be dumped",
    )  # fmt: skip
    return "postgresql"


def _load(url: URL, source: Path, name: str, password: str | None) -> None:
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (f"{path}-wal", f"{path}-shm"):  # they belong to the file that is replaced
            Path(leftover).unlink(missing_ok=True)
        shutil.copy2(source / f"{name}.sqlite", path)
        path.chmod(0o600)
        return
    options = ["--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction"]
    _run_postgres("pg_restore", options, url, password, f"{name} could not be restored", source / f"{name}.dump")


def _holds_something(url: URL, password: str | None) -> bool:
    if url.get_backend_name() == "sqlite":
        return Path(str(url.database)).is_file()
    import psycopg2

    try:
        connection = connect_to_postgres(url, password)
    except psycopg2.OperationalError:
        return False  # there is no such database; making it will tell when the server itself does not answer
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'public')")
        return bool(cursor.fetchone()[0])


def _run_postgres(program: str, options: list[str], url: URL, password: str | None, failure: str, *files: Path) -> None:
    address = ["--host", str(url.host or url.query.get("host")), "--username", str(url.username)]
    address += ["--port", str(url.port)] if url.port else []
    environment = dict(os.environ) | ({DATABASE_PASSWORD_VARIABLE: password} if password else {})
    done = subprocess.run(
        [postgres_program(program), *options, *address, "--no-password", f"--dbname={url.database}", *map(str, files)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RunFailed(f"{failure}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else program}")


def postgres_program(name: str) -> str:
    """Path of pg_dump or pg_restore: Debian's newest, else the one on PATH. An older one refuses newer servers."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]), reverse=True)
    found = str(debian[0]) if debian else shutil.which(name)
    if found is None:
        raise PreconditionError(f"{name} was not found; install PostgreSQL's client programs (postgresql-client).")
    return found


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in files}


app = typer.Typer(help="Backup and restore of both databases and all artifacts.", no_args_is_help=True)
DatabaseUrl = Annotated[str | None, typer.Option(envvar=DATABASE_VARIABLE, help="PostgreSQL; default: SQLite files.")]
Artifacts = Annotated[str | None, typer.Option(help="Artifact store; default: the workspace's folder.")]


@app.command("create")
def create_command(target: Path, database_url: DatabaseUrl = None, artifacts: Artifacts = None) -> None:
    """Write a backup to the new folder TARGET. Example: python -m stsflow.flows.ops.backup create /backups/today"""
    manifest = backup(Workspace.here(), target, database_url=database_url, artifacts=artifacts)
    typer.echo(f"{target}: {len(manifest.files)} files")


@app.command("check")
def check_command(source: Path) -> None:
    """Read every file of the backup SOURCE and compare it with the manifest."""
    manifest = check_backup(source)
    typer.echo(f"{source}: {len(manifest.files)} files of {manifest.made:%Y-%m-%d %H:%M} are as they were")


@app.command("restore")
def restore_command(
    source: Path, database_url: DatabaseUrl = None, artifacts: Artifacts = None, overwrite: bool = False
) -> None:
    """Bring back the backup SOURCE; services must be down. Example:

    python -m stsflow.flows.ops.backup restore /backups/today
    """
    manifest = restore(Workspace.here(), source, database_url=database_url, artifacts=artifacts, overwrite=overwrite)
    typer.echo(f"restored {len(manifest.files)} files of {manifest.made:%Y-%m-%d %H:%M}")


def main() -> None:
    """Run the command; a mistake is one sentence on standard error and the error's own exit code."""
    try:
        app()
    except StsflowError as error:
        typer.echo(error.message, err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
