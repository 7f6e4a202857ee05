"""The services as a person reads them."""

from __future__ import annotations

from rich.console import Console

from stsflow.flows.ops.services.passwords import AUTH_VARIABLE
from stsflow.flows.ops.services.settings import ServicesReport


def print_report(report: ServicesReport, console: Console) -> None:
    """Print addresses, processes and what to do next; or what was ended."""
    if report.services is None:
        what = f"ended {', '.join(report.ended)}" if report.ended else "nothing was up in this workspace"
        console.print(what, highlight=False)
        return
    services = report.services
    rows = [("Prefect", services.prefect_url), ("MLflow", services.mlflow_url)]
    rows += [(f"worker {pool}", f"up to {services.worker_limit} runs at once") for pool in services.pools]
    rows.append(("logs", str(report.logs)))
    if services.user:
        rows += [("user", services.user), ("password", str(services.auth_file or f"the one in {AUTH_VARIABLE}"))]
    console.print("up already" if report.already else "up", highlight=False)
    width = max(len(label) for label, _ in rows)
    for label, found in rows:  # in whole lines: a folded path cannot be copied
        console.print(f"{label:<{width}}  {found}", highlight=False, soft_wrap=True, markup=False)
    if services.user:
        console.print(
            "a browser is asked for both: by MLflow one by one, by Prefect as `user:password`, the file's line",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    else:
        console.print(
            "no password (--no-auth): every user and program of this machine can read and change all of this, and run "
            "programs as you",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print("next: stsflow deploy RECIPE; stsflow down ends it all", highlight=False)
