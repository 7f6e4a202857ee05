"""`stsflow doctor`: looks at everything that a run needs, and says what is wrong and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Literal

import httpx
from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stsflow.flows.ops.services import status
from stsflow.flows.ops.services.database import DATABASE_VARIABLE, choose_databases, try_database
from stsflow.flows.ops.services.passwords import DATABASE_PASSWORD_VARIABLE
from stsflow.flows.ops.services.settings import Services
from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.child import last_lines
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.sqlite import fault_of
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.flow_runs import damaged_notes
from stsflow.tasks.tracking.journal import damage_of
from stsflow.tasks.tracking.runs import damaged_runs

Verdict = Literal["ok", "note", "wrong"]
LEAST_FREE_GIB = 5.0
GPU_LIMIT_SECONDS = 15.0


class Finding(Record):
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    """`note` is worth knowing and stops nothing; `wrong` will stop a run."""
    found: str
    remedy: str = ""


class Examination(Record):
    """All findings."""

    findings: tuple[Finding, ...]
    healthy: bool
    """Nothing is wrong."""

    @property
    def exit_code(self) -> int:
        """0 when nothing is wrong, else 3: a check that was asked for says no."""
        return 0 if self.healthy else 3


def examine(workspace: Workspace | None = None, *, hub: str | None = None, timeout_seconds: float = 5.0) -> Examination:
    """Look at versions, servers, database, disk, GPU and hub. Starts nothing and changes nothing.

    `workspace` is by default this process's own; `hub` is the address to try (default: HF_ENDPOINT or the public hub).
    """
    workspace = workspace or Workspace.here()
    services = status(workspace).services
    looks: tuple[Callable[[], Finding], ...] = (
        look_at_versions,
        lambda: look_at_prefect(services, timeout_seconds),
        lambda: look_at_mlflow(services, timeout_seconds),
        lambda: look_at_services(workspace),
        lambda: look_at_database(workspace, services),
        lambda: look_at_records(workspace),
        lambda: look_at_disk(workspace),
        look_at_gpu,
        lambda: look_at_hub(hub or os.environ.get("HF_ENDPOINT") or "https://huggingface.co", timeout_seconds),
    )
    findings = tuple(look() for look in looks)
    return Examination(findings=findings, healthy=all(finding.verdict != "wrong" for finding in findings))


def look_at_versions() -> Finding:
    """Installed packages against the requirements of stsflow itself; extras are looked at only where installed."""
    differing = []
    for text in importlib.metadata.requires("stsflow") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            differing.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            differing.append(f"{requirement.name} {version} instead of {requirement.specifier}")
    if differing:
        return Finding(
            subject="versions", verdict="wrong", found="; ".join(differing),
            remedy="install again: pip install --constraint constraints.txt .",
        )  # fmt: skip
    return Finding(subject="versions", verdict="ok", found="every package is of a version that was tried")


def look_at_prefect(services: Services | None, timeout_seconds: float) -> Finding:
    """The Prefect API that a run would use."""
    url = os.environ.get("PREFECT_API_URL") or (services.prefect_api_url if services else None)
    if url is None:
        return Finding(
            subject="Prefect server", verdict="note", found="none is configured; runs use a temporary one",
            remedy="`stsflow up` starts one that keeps a schedule",
        )  # fmt: skip
    answer = _get(f"{url.rstrip('/')}/admin/version", timeout_seconds, _prefect_auth())
    return _server_finding("Prefect server", url, answer, "PREFECT_API_AUTH_STRING", "prefect")


def look_at_mlflow(services: Services | None, timeout_seconds: float) -> Finding:
    """The MLflow store that a run would use."""
    url = os.environ.get("MLFLOW_TRACKING_URI") or (services.mlflow_url if services else None)
    if url is None or not url.startswith("http"):
        used = without_credentials(url) if url else "the embedded store"
        return Finding(subject="MLflow server", verdict="note", found=f"none; runs use {used}")
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    auth = (user, password) if user and password else None
    search = f"{url.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    answer = _get(search, timeout_seconds, auth)
    return _server_finding("MLflow server", url, answer, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD", None)


def look_at_services(workspace: Workspace) -> Finding:
    """The processes that `stsflow up` started here."""
    report = status(workspace)
    if report.services is None:
        left = workspace.services.is_dir() and any(workspace.services.glob("*.pid.json"))
        if left:
            return Finding(
                subject="services", verdict="wrong", found="the process manager is gone and left services behind",
                remedy="`stsflow down` ends them, `stsflow up` starts anew",
            )  # fmt: skip
        return Finding(subject="services", verdict="note", found="not started here", remedy="`stsflow up` starts them")
    bad = {name: state for name, state in report.states.items() if state != "RUNNING"}
    if bad:
        name = next(iter(bad))
        log = report.logs / f"{name}.log"
        states = ", ".join(f"{each} is {state}" for each, state in bad.items())
        return Finding(
            subject="services", verdict="wrong", found=f"{states}; {log} ends: {last_lines(log, 1)}",
            remedy="mend what the log names, then `stsflow up`",
        )  # fmt: skip
    if not report.ready:
        return Finding(
            subject="services", verdict="wrong", found="all run, but a server does not answer its health check",
            remedy=f"look into {report.logs}; `stsflow down` and `stsflow up` start anew",
        )  # fmt: skip
    return Finding(subject="services", verdict="ok", found=", ".join(report.states) + " run")


def look_at_database(workspace: Workspace, services: Services | None) -> Finding:
    """SQLite files are read and checked; PostgreSQL databases are asked."""
    configured = os.environ.get(DATABASE_VARIABLE) or None
    if configured or (services and services.mlflow_database.startswith("postgresql")):
        return _look_at_postgresql(workspace, services, configured)
    for path in (workspace.mlflow_database, workspace.prefect_home / "prefect.db"):
        if fault := fault_of(path, thorough=True):
            return Finding(
                subject="database", verdict="wrong", found=f"{path}: {fault}",
                remedy="restore a backup (python -m stsflow.flows.ops.backup restore), or move the file away",
            )  # fmt: skip
    return Finding(subject="database", verdict="ok", found=f"SQLite in {workspace.root}")


def _look_at_postgresql(workspace: Workspace, services: Services | None, configured: str | None) -> Finding:
    try:
        chosen = choose_databases(workspace, configured)
    except PreconditionError as error:
        remedy = f"correct {DATABASE_VARIABLE}"
        return Finding(subject="database", verdict="wrong", found=error.message, remedy=remedy)
    password = chosen.password or os.environ.get(DATABASE_PASSWORD_VARIABLE)
    urls = (services.prefect_database, services.mlflow_database) if services else (chosen.prefect, chosen.mlflow)
    for url in urls:
        problem = try_database(url, password)
        if problem is None:
            continue
        where = f"PostgreSQL at {without_credentials(url)}"
        if password is None and "password" in problem:
            return Finding(
                subject="database", verdict="note", found=f"{where} was not asked: the password is not known here",
                remedy=f"set {DATABASE_VARIABLE} as for `stsflow up`",
            )  # fmt: skip
        return Finding(
            subject="database", verdict="wrong", found=f"{where}: {problem}",
            remedy="start the server, or correct address and password; `stsflow up` makes a missing database",
        )  # fmt: skip
    return Finding(subject="database", verdict="ok", found=f"PostgreSQL at {without_credentials(urls[1])} answers")


def look_at_records(workspace: Workspace) -> Finding:
    """What the runs wrote about themselves and is read back: run.json, journals, notes of flow runs."""
    damaged = [message for _, message in damaged_runs(workspace)]
    damaged += [fault for path in sorted(workspace.runs.glob("*/tracking/journal.jsonl")) if (fault := damage_of(path))]
    damaged += [f"{path} cannot be read" for path in damaged_notes(workspace)]
    if damaged:
        more = f"; and {len(damaged) - 3:,} more" if len(damaged) > 3 else ""
        return Finding(
            subject="records", verdict="note", found="; ".join(damaged[:3]) + more,
            remedy="no other run is stopped by it; the next run here makes again what MLflow knows; the recipe run "
            "again makes a whole record and trains nothing twice; what is left may be deleted",
        )  # fmt: skip
    return Finding(subject="records", verdict="ok", found=f"every record in {workspace.runs} can be read")


def look_at_disk(workspace: Workspace) -> Finding:
    """Room where the workspace is, or will be, and whether it can be written."""
    place = next(path for path in (workspace.root, *workspace.root.parents) if path.exists())
    free = shutil.disk_usage(place).free / 2**30
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Finding(
            subject="disk", verdict="wrong",
            found=f"{place} cannot be written" if place.is_dir() else f"{place} is a file, and must be a folder",
            remedy="set STSFLOW_WORKSPACE to a folder of yours",
        )  # fmt: skip
    found = f"{free:.0f} GiB free at {place}"
    if free < LEAST_FREE_GIB:
        return Finding(
            subject="disk", verdict="wrong", found=found,
            remedy="make room, or set STSFLOW_WORKSPACE to another disk; old trainings lie under trainings/",
        )  # fmt: skip
    return Finding(subject="disk", verdict="ok", found=found)


def look_at_gpu() -> Finding:
    """What nvidia-smi lists; torch is not loaded for it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding(subject="GPU", verdict="note", found="none; runs use the CPU")
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=GPU_LIMIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode != 0 or not done.stdout.strip():
        return Finding(
            subject="GPU", verdict="wrong", found="nvidia-smi is there and does not answer",
            remedy="the driver needs help: `nvidia-smi`, then a restart of the machine",
        )  # fmt: skip
    return Finding(subject="GPU", verdict="ok", found="; ".join(done.stdout.strip().splitlines()))


def look_at_hub(url: str, timeout_seconds: float) -> Finding:
    """Whether the hub can be reached; local data and cached models need none."""
    shown = without_credentials(url)
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return Finding(
            subject="hub", verdict="note", found="switched off by HF_HUB_OFFLINE; only cached files are used"
        )
    answer = _get(url, timeout_seconds, None)
    if isinstance(answer, str):
        return Finding(
            subject="hub", verdict="note", found=f"{shown} cannot be reached: {answer}",
            remedy="recipes with local data and a local or packaged model run without it; else check HTTPS_PROXY",
        )  # fmt: skip
    return Finding(subject="hub", verdict="ok", found=f"{shown} answers")


def _server_finding(
    subject: str, url: str, answer: httpx.Response | str, credentials: str, package: str | None
) -> Finding:
    shown = without_credentials(url)
    if isinstance(answer, str):
        return Finding(
            subject=subject, verdict="wrong", found=f"{shown} does not answer: {answer}",
            remedy="`stsflow up` starts one; or correct the address, or unset it",
        )  # fmt: skip
    if answer.status_code == 401:
        return Finding(
            subject=subject, verdict="wrong", found=f"{shown} does not accept the password", remedy=f"set {credentials}"
        )
    if answer.status_code == 403:
        return Finding(
            subject=subject, verdict="wrong", found=f"{shown} does not know itself under this name",
            remedy="start it with --allowed-host, or ask for it under a name that it knows",
        )  # fmt: skip
    if answer.status_code != 200:
        return Finding(
            subject=subject, verdict="wrong", found=f"{shown} answers with status {answer.status_code}",
            remedy="look into its log; is it the server that you mean?",
        )  # fmt: skip
    if package is not None:
        theirs = re.sub(r'["\s]', "", answer.text)
        ours = importlib.metadata.version(package)
        if theirs.split(".")[:2] != ours.split(".")[:2]:
            return Finding(
                subject=subject, verdict="wrong", found=f"{shown} is version {theirs}, the client is {ours}",
                remedy="bring both to the version of constraints.txt",
            )  # fmt: skip
    return Finding(subject=subject, verdict="ok", found=f"{shown} answers")


def _prefect_auth() -> tuple[str, str] | None:
    user, colon, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if colon else None


def _get(url: str, timeout_seconds: float, auth: tuple[str, str] | None) -> httpx.Response | str:
    """The answer, or why there is none."""
    try:
        return httpx.get(url, timeout=timeout_seconds, auth=auth, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error).strip() or type(error).__name__


MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}


def print_examination(examination: Examination, console: Console) -> None:
    """Print a table of all findings, each wrong one with its remedy."""
    table = Table(box=None, pad_edge=False)
    for heading in ("looked at", "", "found", "remedy"):
        table.add_column(heading, overflow="fold")
    for finding in examination.findings:
        table.add_row(finding.subject, MARKS[finding.verdict], escape(finding.found), escape(finding.remedy))
    console.print(table, highlight=False)
