"""`stsflow run`, `stsflow plan` and `stsflow compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from stsflow.flows.command.shared import (
    EachCpus,
    EachGpus,
    Json,
    On,
    Overrides,
    RayAddress,
    Recipe,
    Verbose,
    place_of,
    print_result,
    read_recipe,
)

commands = typer.Typer()


@commands.command(epilog="Example: stsflow run flows/recipes/demo.yaml --set training.epochs=2")
def run(
    recipe: Recipe,
    overrides: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Reuse nothing that an earlier run made.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue this unfinished run and no other.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=1000, help="Train with this many seeds, as nested runs.")
    ] = 1,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=1000, help="With --seeds: trainings at a time.")
    ] = 1,
    on: On = "threads",
    ray_address: RayAddress = None,
    trial_cpus: EachCpus = None,
    trial_gpus: EachGpus = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train, evaluate, write the card and record all of it."""
    from stsflow.flows.command.terminal import ERR, OUT, end_on_sigterm, prepare_process, require_room
    from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
    from stsflow.tasks.ground.loading import without_collection
    from stsflow.tasks.ground.schema import LARGEST_SEED
    from stsflow.tasks.ground.workspace import Workspace

    place = place_of(on, ray_address, trial_cpus, trial_gpus)
    if (parallel > 1 or on != "threads") and (fresh or seeds == 1):
        raise typer.BadParameter("--parallel and --on are for the trainings of --seeds, and do not go with --fresh")
    prepare_process(verbose=verbose)
    config = read_recipe(recipe, overrides)
    if resume and (fresh or seeds > 1):
        raise typer.BadParameter("--resume continues one run; it does not go with --fresh or --seeds")
    if config.training.seed + seeds - 1 > LARGEST_SEED:
        raise typer.BadParameter(
            f"--seeds {seeds}: training.seed + {seeds - 1} is above {LARGEST_SEED}, the largest seed"
        )
    require_room(Workspace.here())
    place.check(Workspace.here())
    end_on_sigterm()
    start_embedded_server()
    ERR.print(f"stsflow: {config.name}: {config.description}" if config.description else f"stsflow: {config.name}")
    with without_collection():
        import matplotlib.backends.backend_agg  # noqa: F401  (the card needs it, and now there is time)

        from stsflow.flows.finetune import finetune
        from stsflow.flows.ops.truthful_flow_runs import cancelled_when_stopped
        from stsflow.flows.seeds import finetune_with_seeds
        from stsflow.flows.summary import print_summary
        from stsflow.tasks.tracking.store import Store

        Store(Workspace.here())  # MLflow keeps what it opens: it costs nothing while Prefect's server gets ready
    with cancelled_when_stopped(Workspace.here()):
        wait_for_embedded_server()
        if seeds > 1:
            study = finetune_with_seeds(config, seeds=seeds, fresh=fresh, parallel=parallel, place=place)
            print_result(study, as_json, lambda: study.show(OUT))
        else:
            summary = finetune(config, fresh=fresh, resume=resume)
            print_result(summary, as_json, lambda: print_summary(summary, OUT))


@commands.command(epilog="Example: stsflow join 10.0.0.1:29500")
def join(
    rendezvous: Annotated[
        str,
        typer.Argument(metavar="ADDRESS:PORT", help="training.hosts.rendezvous of the recipe.", show_default=False),
    ],
    patience: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds to wait while nobody trains there.")
    ] = 3600.0,
) -> None:
    """Train on this host too, with the one that runs the recipe, until its training is finished."""
    import os
    import re

    from stsflow.tasks.ground.child import python_module

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}", rendezvous):
        raise typer.BadParameter(f"join: found {rendezvous!r}; allowed is an address and a port, as 10.0.0.1:29500")
    command = python_module("stsflow.tasks.training.hosts", "join", rendezvous, str(patience))
    os.execv(command[0], command)  # nothing of this process is needed any more


@commands.command(epilog="Example: stsflow plan flows/recipes/gte-multilingual-korean.yaml --no-probe")
def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Run a few real steps to forecast time and memory.")
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 on warnings too.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say what a recipe will really do, before anything is trained."""
    from stsflow.flows.command.terminal import OUT, prepare_process
    from stsflow.tasks.ground.loading import without_collection

    prepare_process(verbose=verbose)
    config = read_recipe(recipe, overrides)
    with without_collection():
        from stsflow.flows.plan import plan_recipe
        from stsflow.tasks.plan.report import print_plan

    report = plan_recipe(config, probe=probe)
    print_result(report, as_json, lambda: print_plan(report, OUT))
    severities = {finding.severity for finding in report.findings}
    if "error" in severities or (strict and "warning" in severities):
        raise typer.Exit(2)


@commands.command(epilog="Example: stsflow compare demo-1a2b3c4d-5-seeds wide-5e6f7a8b-5-seeds")
def compare(
    first: Annotated[
        str, typer.Argument(help="A study of seeds (stsflow run --seeds N) or a run.", show_default=False)
    ],
    second: Annotated[
        str, typer.Argument(help="Another one, measured on the same rows; it is better above 0.", show_default=False)
    ],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say whether one recipe is better than another, over seeds and rows; of two runs, whether the weights are."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from stsflow.flows.compare import compare_recipes

    found = compare_recipes(first, second)
    print_result(found, as_json, lambda: found.show(OUT))
