"""`stsflow sync` and `stsflow schema`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from stsflow.flows.command.shared import Json, Verbose, print_result

commands = typer.Typer()


@commands.command(epilog="Example: stsflow sync demo-1a2b3c4d-001")
def sync(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Folder name or MLflow run id.", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Complete the MLflow record of a run whose tracker was away."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from stsflow.flows.sync import sync_run

    result = sync_run(name)
    print_result(
        result,
        as_json,
        lambda: OUT.print(f"{result['run']}: {result['sent']} of {result['entries']} entries are in MLflow"),
    )


@commands.command(epilog="Example: stsflow schema > recipe.schema.json")
def schema() -> None:
    """Print the JSON Schema of recipes."""
    from stsflow.tasks.recipe.sections import RunConfig

    print(json.dumps(RunConfig.model_json_schema(), indent=2, ensure_ascii=False))
