"""`stsflow run --seeds N`: the same recipe under several seeds, so that luck can be told from progress.

One parent MLflow run holds the spread; each seed is a nested run of its own. The model of the best seed, chosen on the
suite that also chooses checkpoints, is then written up and released: its card says that it is the best of N.
"""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run
from rich.console import Console
from rich.table import Table

from stsflow.flows.finetune import finetune
from stsflow.flows.summary import RunSummary, print_summary
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import ReleaseConfig, RunConfig
from stsflow.tasks.records.evaluation import SeedSummary
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.task import connect_tracking


class SeedStudy(Record):
    """Several seeds of one recipe."""

    mlflow_run_id: str
    """The parent run."""
    runs: dict[int, RunSummary]
    """By seed."""
    spread: dict[str, tuple[float, float]]
    """Mean and standard deviation (n - 1) over the seeds, by final metric."""
    chosen: int
    """Seed with the best score on the choosing suite."""
    released: RunSummary
    """The run that wrote up and released the chosen model."""

    def show(self, console: Console) -> None:
        """The spread for a person, then the chosen run."""
        table = Table(title=f"{len(self.runs)} seeds", title_justify="left", show_edge=False, pad_edge=False)
        for heading in ("metric", "mean", "standard deviation", *(f"seed {seed}" for seed in self.runs)):
            table.add_column(heading, justify="left" if heading == "metric" else "right")
        for suite, metrics in self.released.shown.items():
            for name in metrics:
                metric = f"tuned/{suite}/{name}"
                mean, deviation = self.spread[metric]
                values = [f"{run.metrics[metric]:.4f}" for run in self.runs.values()]
                table.add_row(f"{suite}/{name}", f"{mean:.4f}", f"{deviation:.4f}", *values)
        console.print()
        console.print(table)
        console.print(f"\nchosen: seed {self.chosen}, the best of {len(self.runs)}; its score flatters it a little")
        print_summary(self.released, console)


def _flow_run_name() -> str:
    recipe: RunConfig = flow_run.parameters["recipe"]
    return f"{recipe.name}-{flow_run.parameters['seeds']}-seeds"


@flow(name="seeds", flow_run_name=_flow_run_name)
def finetune_with_seeds(recipe: RunConfig, seeds: int, fresh: bool = False) -> SeedStudy:
    """Fine-tune under `seeds` seeds, from the recipe's own upwards; release the best.

    Args:
        recipe: The recipe; its release applies to the best seed alone.
        seeds: How many.
        fresh: Reuse nothing that an earlier run made.
    """
    store = connect_tracking(Workspace.here())
    parent = _open_parent(store, recipe, seeds)
    status = "FAILED"
    unreleased = ReleaseConfig(merge=recipe.release.merge)
    try:
        runs = {
            seed: finetune(_with_seed(recipe, seed).model_copy(update={"release": unreleased}), fresh, None, parent)
            for seed in range(recipe.training.seed, recipe.training.seed + seeds)
        }
        chosen = _best(recipe, runs)
        summary = _seed_summary(recipe, runs, chosen)
        released = finetune(_with_seed(recipe, chosen), False, None, parent, summary)
        spread = _spread(runs)
        _record(store, parent, spread, chosen)
        status = "FINISHED"
    finally:
        store.end_run(parent, status, "")
    return SeedStudy(mlflow_run_id=parent, runs=runs, spread=spread, chosen=chosen, released=released)


def _with_seed(recipe: RunConfig, seed: int) -> RunConfig:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": seed})})


def _open_parent(store: Store, recipe: RunConfig, seeds: int) -> str:
    tags = {"stsflow.recipe": recipe.name, "stsflow.seeds": str(seeds)}
    return store.open_run(
        recipe.tracking.experiment, f"{recipe.name}-{seeds}-seeds", tags, recipe.description, datetime.now(UTC)
    )[0]


def _metric(recipe: RunConfig) -> tuple[str, str]:
    """Suite and metric that choose among the seeds: those that choose the checkpoint, else the headline's."""
    if recipe.choosing_suite is not None:
        return recipe.choosing_suite, recipe.choosing_metric
    return recipe.headline_suite, recipe.evaluation.suites[recipe.headline_suite].primary


def _best(recipe: RunConfig, runs: dict[int, RunSummary]) -> int:
    suite, metric = _metric(recipe)
    gain = recipe.evaluation.suites[suite].metric(metric).gain
    scores = {seed: gain(run.metrics[f"tuned/{suite}/{metric}"]) for seed, run in runs.items()}
    return max(runs, key=lambda seed: (-math.inf if math.isnan(scores[seed]) else scores[seed], -seed))


def _seed_summary(recipe: RunConfig, runs: dict[int, RunSummary], chosen: int) -> SeedSummary:
    suite, metric = _metric(recipe)
    scores = {seed: run.metrics[f"tuned/{suite}/{metric}"] for seed, run in runs.items()}
    return SeedSummary(suite=suite, metric=metric, scores=scores, chosen=chosen)


def _spread(runs: dict[int, RunSummary]) -> dict[str, tuple[float, float]]:
    names = next(iter(runs.values())).metrics
    return {
        name: (statistics.fmean(values), statistics.stdev(values))
        for name in names
        if len(values := [run.metrics[name] for run in runs.values()]) > 1
    }


def _record(store: Store, parent: str, spread: dict[str, tuple[float, float]], chosen: int) -> None:
    for name, (mean, deviation) in spread.items():
        if name.startswith("tuned/"):
            stem = name.replace("tuned/", "seeds/", 1)
            store.client.log_metric(parent, f"{stem}_mean", mean)
            store.client.log_metric(parent, f"{stem}_std", deviation)
    store.client.set_tag(parent, "stsflow.chosen_seed", str(chosen))
