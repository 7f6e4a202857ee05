"""`stsflow run --seeds N`: the same recipe under several seeds, so that luck can be told from progress.

One parent MLflow run holds the spread; each seed is a nested run of its own. The recipe is compared with its base model
over seeds and rows together. The model of the best seed, chosen on the suite that also chooses checkpoints, is then
written up and released: its card says that it is the best of N. `stsflow compare` compares two such studies.
"""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime
from functools import partial

from prefect import flow
from prefect.runtime import flow_run
from rich.console import Console
from rich.table import Table

from stsflow.flows.finetune import finetune
from stsflow.flows.preparation import prepare_run
from stsflow.flows.summary import RunSummary, print_summary
from stsflow.tasks.evaluation.over_seeds import compare_over_seeds
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.lock import recipe_sha256
from stsflow.tasks.recipe.sections import ReleaseConfig, RunConfig
from stsflow.tasks.records.evaluation import EvaluationReport, RecipeDifference, SeedSummary, Study
from stsflow.tasks.release.decision import compared_metrics
from stsflow.tasks.statistics.seeds import expected_maximum, mean_and_deviation
from stsflow.tasks.sweeping.places import Place, Threads
from stsflow.tasks.sweeping.side_by_side import side_by_side
from stsflow.tasks.sweeping.task import train_seed
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.task import connect_tracking
from stsflow.tasks.training.task import training_slot
from stsflow.tasks.training.trial import check_hardware

HERE = Threads()


class SeedStudy(Record):
    """Several seeds of one recipe."""

    name: str
    """What `stsflow compare` knows it by."""
    mlflow_run_id: str
    """The parent run."""
    runs: dict[int, RunSummary]
    """By seed."""
    spread: dict[str, tuple[float, float]]
    """Mean and standard deviation (n - 1) over the seeds, by final metric."""
    claims: tuple[RecipeDifference, ...]
    """The recipe against its base model, over seeds and rows."""
    chosen: int
    """Seed with the best score on the choosing suite."""
    chosen_by: str
    """Suite and metric of that score, such as `sts-dev/spearman_cosine`."""
    released: RunSummary
    """The run that wrote up and released the chosen model."""

    def show(self, console: Console) -> None:
        """The spread for a person, then the chosen run."""
        table = Table(title=f"{len(self.runs)} seeds", title_justify="left", show_edge=False, pad_edge=False)
        table.add_column("metric", no_wrap=True)
        for heading in ("mean", "deviation"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column(f"seeds {min(self.runs)} to {max(self.runs)}")
        for suite, metrics in self.released.shown.items():
            for name in metrics:
                metric = f"tuned/{suite}/{name}"
                mean, deviation = self.spread[metric]
                values = " ".join(f"{run.metrics[metric]:.4f}" for run in self.runs.values())
                table.add_row(f"{suite}/{name}", f"{mean:.4f}", f"{deviation:.4f}", values)
        console.print()
        console.print(table)
        console.print()
        print_claims(self.claims, console)
        metric = f"tuned/{self.chosen_by}"
        mean, deviation = self.spread[metric]
        expected = mean + deviation * expected_maximum(len(self.runs))
        console.print(
            f"chosen: seed {self.chosen}, the best of {len(self.runs)} on {self.chosen_by}: "
            f"{self.runs[self.chosen].metrics[metric]:.4f}; the best of that many equal runs is expected at "
            f"{expected:.4f} by chance alone, their mean is {mean:.4f}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        console.print(
            f"compare it with another recipe: stsflow compare {self.name} OTHER", soft_wrap=True, highlight=False
        )
        print_summary(self.released, console)


def print_claims(claims: tuple[RecipeDifference, ...], console: Console) -> None:
    """Each difference of two recipes for a person, with what it was tested on and the seeds that it would take."""
    for claim in claims:
        place = f"{claim.suite}/{claim.metric}"
        interval = "no interval"
        if claim.interval is not None:
            ends = claim.interval
            interval = f"{ends.confidence:.0%} interval [{ends.low:+.4f}, {ends.high:+.4f}]"
        needed = ""
        if max(claim.seeds) > 1 and claim.interval is not None:
            needed = "; to tell this much from zero four times in five takes "
            needed += f"{claim.seeds_needed} seeds" if claim.seeds_needed else "more rows, whatever the seeds"
        console.print(
            f"{place}: {claim.second} against {claim.first}: {claim.difference:+.4f}, {interval} over "
            f"{_what_varies(claim)} and {claim.rows:,} rows{needed}",
            soft_wrap=True, highlight=False, markup=False,
        )  # fmt: skip


def _what_varies(claim: RecipeDifference) -> str:
    """`5 seeds`, `5 and 3 seeds`, or that these weights are meant."""
    several = [str(count) for count in claim.seeds if count > 1]
    if not several:
        return "these weights alone"
    return f"{' and '.join(several)} seeds"


def _flow_run_name() -> str:
    recipe: RunConfig = flow_run.parameters["recipe"]
    return f"{recipe.name}-{flow_run.parameters['seeds']}-seeds"


@flow(name="seeds", flow_run_name=_flow_run_name)
def finetune_with_seeds(
    recipe: RunConfig, seeds: int, fresh: bool = False, parallel: int = 1, place: Place = HERE
) -> SeedStudy:
    """Fine-tune under `seeds` seeds, from the recipe's own upwards; release the best.

    Args:
        recipe: The recipe; its release applies to the best seed alone.
        seeds: How many.
        fresh: Reuse nothing that an earlier run made.
        parallel: Trainings at a time; evaluation and all else of each seed follow one after the other.
        place: Where the trainers run.
    """
    workspace = Workspace.here()
    store = connect_tracking(workspace)
    parent = _open_parent(store, recipe, seeds)
    status = "FAILED"
    unreleased = ReleaseConfig(merge=recipe.release.merge)
    try:
        if parallel > 1 or place != HERE:
            _train_all(recipe, seeds, parallel, place, workspace)
        runs = {
            seed: finetune(_with_seed(recipe, seed).model_copy(update={"release": unreleased}), fresh, None, parent)
            for seed in _numbers(recipe, seeds)
        }
        chosen = _best(recipe, runs)
        summary = _seed_summary(recipe, runs, chosen, workspace)
        released = finetune(_with_seed(recipe, chosen), False, None, parent, summary)
        spread = _spread(runs)
        _record(store, parent, spread, summary)
        study = _keep(workspace, recipe, parent, runs)
        status = "FINISHED"
    finally:
        store.end_run(parent, status, "")
    return SeedStudy(
        name=study.name, mlflow_run_id=parent, runs=runs, spread=spread, claims=summary.claims, chosen=chosen,
        chosen_by=f"{summary.suite}/{summary.metric}", released=released,
    )  # fmt: skip


def _keep(workspace: Workspace, recipe: RunConfig, parent: str, runs: dict[int, RunSummary]) -> Study:
    """The study's runs, where `stsflow compare` finds them."""
    name = f"{recipe.name}-{recipe_sha256(recipe)[:8]}-{len(runs)}-seeds"
    folders = {seed: run.run_dir.name for seed, run in runs.items()}
    study = Study(name=name, recipe_name=recipe.name, mlflow_run_id=parent, runs=folders)
    workspace.studies.mkdir(exist_ok=True)
    study.write(workspace.studies / f"{name}.json")
    return study


def _train_all(recipe: RunConfig, seeds: int, parallel: int, place: Place, workspace: Workspace) -> None:
    """The training of every seed, several at a time in one training slot; the runs that follow find them finished."""
    check_hardware(recipe.training)
    request, stopped = prepare_run(recipe, workspace, fresh=False).request, threading.Event()
    each = [
        request.model_copy(update={"training": request.training.model_copy(update={"seed": seed})})
        for seed in _numbers(recipe, seeds)
    ]
    with training_slot(recipe.training.concurrency_limit, workspace, flow_run.id or ""):
        jobs = (partial(train_seed, recipe.name, one, place, stopped, workspace) for one in each)
        side_by_side(jobs, parallel, stopped, lambda _: None)


def _numbers(recipe: RunConfig, seeds: int) -> range:
    return range(recipe.training.seed, recipe.training.seed + seeds)


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


def _seed_summary(recipe: RunConfig, runs: dict[int, RunSummary], chosen: int, workspace: Workspace) -> SeedSummary:
    suite, metric = _metric(recipe)
    scores = {seed: run.metrics[f"tuned/{suite}/{metric}"] for seed, run in runs.items()}
    folders = [RunFolder(run.run_dir) for run in runs.values()]
    base = EvaluationReport.load(folders[0].report("base"))
    tuned = [EvaluationReport.load(folder.report("tuned")) for folder in folders]
    names = "the base model", f"the recipe {recipe.name}"
    metrics = compared_metrics(recipe.release.rules)
    claims = compare_over_seeds([base], tuned, names, recipe.evaluation, metrics=metrics, workspace=workspace)
    return SeedSummary(suite=suite, metric=metric, scores=scores, chosen=chosen, claims=claims)


def _spread(runs: dict[int, RunSummary]) -> dict[str, tuple[float, float]]:
    names = next(iter(runs.values())).metrics
    return {name: mean_and_deviation([run.metrics[name] for run in runs.values()]) for name in names}


def _record(store: Store, parent: str, spread: dict[str, tuple[float, float]], summary: SeedSummary) -> None:
    for name, (mean, deviation) in spread.items():
        if name.startswith("tuned/"):
            stem = name.replace("tuned/", "seeds/", 1)
            store.client.log_metric(parent, f"{stem}_mean", mean)
            store.client.log_metric(parent, f"{stem}_std", deviation)
    for claim in summary.claims:
        stem = f"recipe_gain/{claim.suite}/{claim.metric}"
        store.client.log_metric(parent, stem, claim.difference)
        if claim.interval is not None:
            store.client.log_metric(parent, f"{stem}_low", claim.interval.low)
            store.client.log_metric(parent, f"{stem}_high", claim.interval.high)
    store.client.set_tag(parent, "stsflow.chosen_seed", str(summary.chosen))
