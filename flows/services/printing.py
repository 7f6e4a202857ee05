"""The services as a person reads them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from flows.services.secrets import AUTH_VARIABLE
from flows.services.settings import ServicesReport


def print_report(report: ServicesReport, console: Console) -> None:
    """Print addresses, processes and what to do next; or what was ended."""
    if report.services is None:
        what = f"ended {', '.join(report.ended)}" if report.ended else "nothing was up in this workspace"
        console.print(what, highlight=False)
        return
    services = report.services
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(no_wrap=True, overflow="ignore")  # a folded path cannot be copied
    table.add_row("Prefect", services.prefect_url)
    table.add_row("MLflow", services.mlflow_url)
    for pool in services.pools:
        table.add_row(f"worker {pool}", f"up to {services.worker_limit} runs at once")
    table.add_row("logs", str(report.logs))
    if services.user:
        table.add_row("user", services.user)
        table.add_row("password", f"{services.auth_file}" if services.auth_file else f"the one in {AUTH_VARIABLE}")
    console.print("up already" if report.already else "up", highlight=False)
    console.print(table, highlight=False, soft_wrap=True)
    if services.user:
        console.print(
            "a browser is asked for both: by MLflow one by one, by Prefect as `user:password`, the file's line",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    if not services.user:
        console.print(
            "no password (--no-auth): every user and program of this machine can read and change all of this, and run "
            "programs as you",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print("next: stsflow deploy RECIPE; stsflow down ends it all", highlight=False)
