"""`stsflow up`, `down`, `deploy` and `doctor`: the servers, what runs on them, and whether all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stsflow.flows.command.shared import Json, Overrides, Recipe, Verbose, print_result, read_recipe
from stsflow.tasks.ground.errors import CheckFailed

commands = typer.Typer()


@commands.command(epilog="Example: stsflow up --pool cpu --worker-limit 2")
def up(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    prefect_port: Annotated[
        int | None, typer.Option("--prefect-port", min=1, max=65_535, help="Default: 4200, else a free one.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option("--mlflow-port", min=1, max=65_535, help="Default: 5000, else a free one.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="PostgreSQL server; default: SQLite, or STSFLOW_DATABASE_URL.")
    ] = None,
    artifacts: Annotated[
        str | None, typer.Option("--artifacts", help="Artifact store, such as s3://bucket/path.")
    ] = None,
    pool: Annotated[
        list[str] | None, typer.Option("--pool", help="Work pool to start a worker for. Repeatable.")
    ] = None,
    worker_limit: Annotated[
        int, typer.Option("--worker-limit", min=1, max=1000, help="Runs that a worker takes at once.")
    ] = 4,
    allowed_host: Annotated[
        list[str] | None, typer.Option("--allowed-host", help="Further Host header. Repeatable.")
    ] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option("--allowed-origin", help="Further Origin. Repeatable.")
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option("--auth-file", help="File with user:password for both servers; default: one that is made."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no password: every user of this machine gets in.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Start Prefect, MLflow and a worker for each pool on this machine."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, use_services=False)
    from stsflow.flows.ops import services
    from stsflow.tasks.ground.workspace import Workspace

    report = services.up(
        Workspace.here(), host=host, prefect_port=prefect_port, mlflow_port=mlflow_port, database_url=database_url,
        artifacts=artifacts, pools=tuple(pool or ("cpu",)), worker_limit=worker_limit,
        allowed_hosts=tuple(allowed_host or ()), allowed_origins=tuple(allowed_origin or ()), auth_file=auth_file,
        no_auth=no_auth,
    )  # fmt: skip
    print_result(report, as_json, lambda: services.print_report(report, OUT))


@commands.command(epilog="Example: stsflow down")
def down(as_json: Json = False, verbose: Verbose = False) -> None:
    """Stop exactly what `stsflow up` started in this workspace."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, use_services=False, writes=False)
    from stsflow.flows.ops import services
    from stsflow.tasks.ground.workspace import Workspace

    report = services.down(Workspace.here())
    print_result(report, as_json, lambda: services.print_report(report, OUT))


@commands.command(epilog="Example: stsflow deploy flows/recipes/kornlu-minilm.yaml --webhook https://example.org/hook")
def deploy(
    recipe: Recipe,
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Option("--name", help="Tell a second recipe's deployments apart.")] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Work pool, instead of the one in prefect.yaml.")] = None,
    gpu_slots: Annotated[int, typer.Option("--gpu-slots", min=1, max=1000, help="Trainings at once.")] = 1,
    webhook: Annotated[str | None, typer.Option("--webhook", help="Told about failed runs and new champions.")] = None,
    prefect_file: Annotated[Path | None, typer.Option("--file", help="Deployments; default: prefect.yaml.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Put deployments, schedules, pools, limits and automations on the Prefect server. Safe to repeat."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    config = read_recipe(recipe, overrides)
    from stsflow.flows.ops.deploy import deploy as put
    from stsflow.flows.ops.deploy import print_deployments

    report = put(config, prefect_file=prefect_file, name=name, pool=pool, gpu_slots=gpu_slots, webhook_url=webhook)
    print_result(report, as_json, lambda: print_deployments(report, OUT))


@commands.command(epilog="Example: stsflow doctor")
def doctor(as_json: Json = False, verbose: Verbose = False) -> None:
    """Check versions, servers, records, databases, disk, GPU and hub; say what is wrong and what to do."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, writes=False)
    from stsflow.flows.ops.doctor import examine, print_examination

    result = examine()
    print_result(result, as_json, lambda: print_examination(result, OUT))
    if not result.healthy:
        raise typer.Exit(CheckFailed.exit_code)
