"""What is kept: the databases of both servers, and the records of runs."""

from __future__ import annotations

import os

from stsflow.flows.ops.doctor.observation import Observation, note, ok, wrong
from stsflow.flows.ops.services import Services
from stsflow.flows.ops.services.database import DATABASE_VARIABLE, choose_databases, try_database
from stsflow.flows.ops.services.passwords import DATABASE_PASSWORD_VARIABLE
from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.sqlite import fault_of
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.flow_runs import damaged_notes
from stsflow.tasks.tracking.journal import damage_of
from stsflow.tasks.tracking.runs import damaged_runs


def look_at_database(workspace: Workspace, services: Services | None) -> Observation:
    """SQLite files are read and checked; PostgreSQL databases are asked."""
    configured = os.environ.get(DATABASE_VARIABLE) or None
    if configured or (services and services.mlflow_database.startswith("postgresql")):
        return _look_at_postgresql(workspace, services, configured)
    for path in (workspace.mlflow_database, workspace.prefect_home / "prefect.db"):
        if fault := fault_of(path, thorough=True):
            return wrong(
                f"{path}: {fault}",
                "restore a backup (python -m stsflow.flows.ops.backup restore), or move the file away",
            )
    return ok(f"SQLite in {workspace.root}")


def _look_at_postgresql(workspace: Workspace, services: Services | None, configured: str | None) -> Observation:
    try:
        chosen = choose_databases(workspace, configured)
    except PreconditionError as error:
        remedy = f"correct {DATABASE_VARIABLE}"
        return wrong(error.message, remedy)
    password = chosen.password or os.environ.get(DATABASE_PASSWORD_VARIABLE)
    urls = (services.prefect_database, services.mlflow_database) if services else (chosen.prefect, chosen.mlflow)
    for url in urls:
        problem = try_database(url, password)
        if problem is None:
            continue
        where = f"PostgreSQL at {without_credentials(url)}"
        if password is None and "password" in problem:
            return note(
                f"{where} was not asked: the password is not known here", f"set {DATABASE_VARIABLE} as for `stsflow up`"
            )
        return wrong(
            f"{where}: {problem}",
            "start the server, or correct address and password; `stsflow up` makes a missing database",
        )
    return ok(f"PostgreSQL at {without_credentials(urls[1])} answers")


def look_at_records(workspace: Workspace) -> Observation:
    """What the runs wrote about themselves and is read back: run.json, journals, notes of flow runs."""
    damaged = [message for _, message in damaged_runs(workspace)]
    damaged += [fault for path in sorted(workspace.runs.glob("*/tracking/journal.jsonl")) if (fault := damage_of(path))]
    damaged += [f"{path} cannot be read" for path in damaged_notes(workspace)]
    if damaged:
        more = f"; and {len(damaged) - 3:,} more" if len(damaged) > 3 else ""
        return note(
            "; ".join(damaged[:3]) + more,
            "no other run is stopped by it; the next run here makes again what MLflow knows; the recipe run "
            "again makes a whole record and trains nothing twice; what is left may be deleted",
        )
    return ok(f"every record in {workspace.runs} can be read")
