"""`stsflow sweep`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

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


@commands.command(epilog="Example: stsflow sweep recipe.yaml --space space.yaml --trials 12")
def sweep(
    recipe: Recipe,
    space: Annotated[
        Path, typer.Option("--space", metavar="FILE", help="YAML: {low, high, log, step} or {choices} by key.")
    ],
    trials: Annotated[
        int, typer.Option("--trials", min=1, max=100_000, help="Trials in all, earlier starts of this sweep counted.")
    ],
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=1_000, help="Trials at a time.")] = 1,
    on: On = "threads",
    ray_address: RayAddress = None,
    trial_cpus: EachCpus = None,
    trial_gpus: EachGpus = None,
    pruner: Annotated[
        Literal["median", "halving", "none"],
        typer.Option("--pruner", help="Which trials end early, judged at each evaluation on the choosing suite."),
    ] = "median",
    sampler: Annotated[
        Literal["tpe", "random"], typer.Option("--sampler", help="Draw by what earlier trials scored, or blindly.")
    ] = "tpe",
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the sampler.")] = 0,
    confirm_seeds: Annotated[
        int, typer.Option("--confirm-seeds", min=0, max=20, help="Train the best three under so many other seeds.")
    ] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", envvar="STSFLOW_SWEEP_STORAGE", metavar="URL", show_default=False,
            help="Keep the trials in a PostgreSQL database, postgresql://…; default: SQLite in the workspace.",
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Try settings of a recipe on the suite that chooses checkpoints, then run the best once, with test and release.

    A sweep that was killed goes on with the same command; more --trials continue one that has ended.
    """
    from stsflow.flows.command.terminal import ERR, OUT, end_on_sigterm, prepare_process, require_room
    from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
    from stsflow.tasks.ground.errors import RecipeError
    from stsflow.tasks.ground.loading import without_collection
    from stsflow.tasks.ground.schema import LARGEST_SEED
    from stsflow.tasks.ground.workspace import Workspace
    from stsflow.tasks.sweeping.settings import SweepConfig
    from stsflow.tasks.sweeping.space import read_space
    from stsflow.tasks.sweeping.storage import VARIABLE, check_storage

    place = place_of(on, ray_address, trial_cpus, trial_gpus)
    prepare_process(verbose=verbose)
    config = read_recipe(recipe, overrides)
    if config.choosing_suite is None:
        raise RecipeError(
            f"{recipe}: evaluation.choose_on: there is no suite to score trials on; name one, or give one suite the "
            "split dev"
        )
    how = SweepConfig(
        space=read_space(space, config), trials=trials, parallel=parallel, pruner=pruner, sampler=sampler, seed=seed,
        confirm_seeds=confirm_seeds, place=place,
    )  # fmt: skip
    if config.training.seed + confirm_seeds > LARGEST_SEED:
        raise typer.BadParameter(f"--confirm-seeds {confirm_seeds}: training.seed has no room above it")
    if storage:
        os.environ[VARIABLE] = storage
    workspace = Workspace.here()
    check_storage(workspace)
    require_room(workspace)
    how.place.check(workspace)
    end_on_sigterm()
    start_embedded_server()
    ERR.print(f"stsflow: {config.name}: {trials} trials, {parallel} at a time")
    with without_collection():
        import matplotlib.backends.backend_agg  # noqa: F401  (the card needs it, and now there is time)
        import optuna  # noqa: F401  (the trials need it, and this is the thread whose garbage collector is off)

        from stsflow.flows.ops.truthful_flow_runs import cancelled_when_stopped
        from stsflow.flows.sweep import sweep as sweep_settings
        from stsflow.tasks.tracking.store import Store

        Store(workspace)
    with cancelled_when_stopped(workspace):
        wait_for_embedded_server()
        result = sweep_settings(config, how)
        print_result(result, as_json, lambda: result.show(OUT))
