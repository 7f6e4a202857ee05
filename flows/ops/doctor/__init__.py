"""`stsflow doctor`: looks at everything that a run needs, and says what is wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stsflow.flows.ops.doctor.machine import look_at_disk, look_at_gpu, look_at_versions
from stsflow.flows.ops.doctor.observation import Observation, Verdict
from stsflow.flows.ops.doctor.records import look_at_database, look_at_records
from stsflow.flows.ops.doctor.servers import look_at_hub, look_at_mlflow, look_at_prefect, look_at_services
from stsflow.flows.ops.services import status
from stsflow.tasks.ground.hub import endpoint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace


class Examination(Record):
    """All findings."""

    findings: tuple[Observation, ...]
    healthy: bool
    """Nothing is wrong."""


def examine(workspace: Workspace | None = None, *, hub: str | None = None, timeout_seconds: float = 5.0) -> Examination:
    """Look at versions, servers, database, disk, GPU and hub. Starts nothing and changes nothing.

    `workspace` is by default this process's own; `hub` is the address to try (default: HF_ENDPOINT or the public hub).
    """
    workspace = workspace or Workspace.here()
    services = status(workspace).services
    address = hub or endpoint()
    looks: dict[str, Callable[[], Observation]] = {
        "versions": look_at_versions,
        "Prefect server": lambda: look_at_prefect(services, timeout_seconds),
        "MLflow server": lambda: look_at_mlflow(services, timeout_seconds),
        "services": lambda: look_at_services(workspace),
        "database": lambda: look_at_database(workspace, services),
        "records": lambda: look_at_records(workspace),
        "disk": lambda: look_at_disk(workspace),
        "GPU": look_at_gpu,
        "hub": lambda: look_at_hub(address, timeout_seconds),
    }
    findings = tuple(look().model_copy(update={"subject": subject}) for subject, look in looks.items())
    return Examination(findings=findings, healthy=all(finding.verdict != "wrong" for finding in findings))


MARKS: dict[Verdict, str] = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}


def print_examination(examination: Examination, console: Console) -> None:
    """Print a table of all findings, each wrong one with its remedy."""
    table = Table(box=None, pad_edge=False)
    for heading in ("looked at", "", "found", "remedy"):
        table.add_column(heading, overflow="fold")
    for finding in examination.findings:
        table.add_row(finding.subject, MARKS[finding.verdict], escape(finding.found), escape(finding.remedy))
    console.print(table, highlight=False)
