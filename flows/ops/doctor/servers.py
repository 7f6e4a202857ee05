"""What answers over a network: Prefect, MLflow, our own services, the hub."""

from __future__ import annotations

import importlib.metadata
import os
import re

import httpx

from stsflow.flows.ops.doctor.observation import Observation, note, ok, wrong
from stsflow.flows.ops.services import Services, status
from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.child import last_lines
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store_address import mlflow_login


def look_at_prefect(services: Services | None, timeout_seconds: float) -> Observation:
    """The Prefect API that a run would use."""
    url = os.environ.get("PREFECT_API_URL") or (services.prefect_api_url if services else None)
    if url is None:
        return note("none is configured; runs use a temporary one", "`stsflow up` starts one that keeps a schedule")
    answer = _get(f"{url.rstrip('/')}/admin/version", timeout_seconds, _prefect_auth())
    return _of_server(url, answer, "PREFECT_API_AUTH_STRING", "prefect")


def look_at_mlflow(services: Services | None, timeout_seconds: float) -> Observation:
    """The MLflow store that a run would use."""
    url = os.environ.get("MLFLOW_TRACKING_URI") or (services.mlflow_url if services else None)
    if url is None or not url.startswith("http"):
        used = without_credentials(url) if url else "the embedded store"
        return note(f"none; runs use {used}")
    search = f"{url.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    answer = _get(search, timeout_seconds, mlflow_login())
    return _of_server(url, answer, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD", None)


def look_at_services(workspace: Workspace) -> Observation:
    """The processes that `stsflow up` started here."""
    report = status(workspace)
    if report.services is None:
        left = workspace.services.is_dir() and any(workspace.services.glob("*.pid.json"))
        if left:
            return wrong(
                "the process manager is gone and left services behind",
                "`stsflow down` ends them, `stsflow up` starts anew",
            )
        return note("not started here", "`stsflow up` starts them")
    bad = {name: state for name, state in report.states.items() if state != "RUNNING"}
    if bad:
        name = next(iter(bad))
        log = report.logs / f"{name}.log"
        states = ", ".join(f"{each} is {state}" for each, state in bad.items())
        return wrong(f"{states}; {log} ends: {last_lines(log, 1)}", "mend what the log names, then `stsflow up`")
    if not report.ready:
        return wrong(
            "all run, but a server does not answer its health check",
            f"look into {report.logs}; `stsflow down` and `stsflow up` start anew",
        )
    return ok(", ".join(report.states) + " run")


def look_at_hub(url: str, timeout_seconds: float) -> Observation:
    """Whether the hub can be reached; local data and cached models need none."""
    shown = without_credentials(url)
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return note("switched off by HF_HUB_OFFLINE; only cached files are used")
    answer = _get(url, timeout_seconds, None)
    if isinstance(answer, str):
        return note(
            f"{shown} cannot be reached: {answer}",
            "recipes with local data and a local or packaged model run without it; else check HTTPS_PROXY",
        )
    return ok(f"{shown} answers")


def _of_server(url: str, answer: httpx.Response | str, credentials: str, package: str | None) -> Observation:
    shown = without_credentials(url)
    if isinstance(answer, str):
        return wrong(
            f"{shown} does not answer: {answer}", "`stsflow up` starts one; or correct the address, or unset it"
        )
    if answer.status_code == 401:
        return wrong(f"{shown} does not accept the password", f"set {credentials}")
    if answer.status_code == 403:
        return wrong(
            f"{shown} does not know itself under this name",
            "start it with --allowed-host, or ask for it under a name that it knows",
        )
    if answer.status_code != 200:
        return wrong(
            f"{shown} answers with status {answer.status_code}", "look into its log; is it the server that you mean?"
        )
    if package is not None:
        theirs = re.sub(r'["\s]', "", answer.text)
        ours = importlib.metadata.version(package)
        if theirs.split(".")[:2] != ours.split(".")[:2]:
            return wrong(
                f"{shown} is version {theirs}, the client is {ours}", "bring both to the version of constraints.txt"
            )
    return ok(f"{shown} answers")


def _prefect_auth() -> tuple[str, str] | None:
    user, colon, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if colon else None


def _get(url: str, timeout_seconds: float, auth: tuple[str, str] | None) -> httpx.Response | str:
    """The answer, or why there is none."""
    try:
        return httpx.get(url, timeout=timeout_seconds, auth=auth, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error).strip() or type(error).__name__
