"""`stsflow sweep`: many settings of one recipe, each trained and scored on the suite that chooses; the best runs whole.

Trials never touch another suite. The best one's settings then make one normal run, which is measured on test, written
up, and released: test is looked at once, whatever the number of trials.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from prefect import flow
from prefect.runtime import flow_run
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from stsflow.flows.finetune import finetune
from stsflow.flows.ops.truthful_flow_runs import truthful_in_prefect
from stsflow.flows.preparation import prepare_run
from stsflow.flows.sign_card import signing_key
from stsflow.flows.summary import RunSummary, print_summary
from stsflow.tasks.ground.errors import RunFailed
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.lock import recipe_sha256
from stsflow.tasks.recipe.reading import with_settings
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.sweeps import Confirmation, SweepSummary, TrialOutcome
from stsflow.tasks.release.task import check_hub
from stsflow.tasks.sweeping.pictures import draw_trials
from stsflow.tasks.sweeping.settings import SweepConfig
from stsflow.tasks.sweeping.side_by_side import side_by_side
from stsflow.tasks.sweeping.space import in_words
from stsflow.tasks.sweeping.storage import open_storage, sole_sweep
from stsflow.tasks.sweeping.task import Sweeping, let_go, run_confirmation, run_trial
from stsflow.tasks.sweeping.trials import Trials
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.sweeps import record_sweep
from stsflow.tasks.tracking.task import connect_tracking
from stsflow.tasks.training.task import training_slot
from stsflow.tasks.training.trial import check_hardware

logger = logging.getLogger(__name__)

CONFIRMED = 3
"""Best trials that are trained once more under other seeds, where that is asked for."""
PARENT = "mlflow_run_id"


class SweepResult(Record):
    """A sweep, as `stsflow sweep --json` prints it."""

    name: str
    mlflow_run_id: str
    """The parent run."""
    trials: tuple[TrialOutcome, ...]
    best: int
    """Number of the trial that was chosen, from 0."""
    chosen_by: str
    """Suite and metric, such as `sts-dev/spearman_cosine`."""
    confirmed: tuple[Confirmation, ...]
    importances: dict[str, float]
    """By dotted key, adding up to 1; empty where too few trials tell."""
    settings: dict[str, JsonValue]
    """Of the best, by dotted key."""
    released: RunSummary
    """The whole run with them."""

    def show(self, console: Console) -> None:
        """The trials for a person, then the run of the best."""
        table = Table(title=f"{len(self.trials)} trials", title_justify="left", show_edge=False, pad_edge=False)
        for heading in ("trial", *self.settings, self.chosen_by, ""):
            side: Literal["right", "left"] = "right" if heading in ("trial", self.chosen_by) else "left"
            table.add_column(heading.removeprefix("training."), justify=side, overflow="fold")
        for one in self.trials:
            values = [in_words(value) for value in one.settings.values()]
            score = "" if one.score is None else f"{one.score:.4f}"
            said = "the best" if one.number == self.best else "" if one.state == "complete" else one.reason or one.state
            table.add_row(str(one.number + 1), *values, score, said, style="bold" if one.number == self.best else "")
        console.print()
        console.print(table)
        if self.importances:
            shares = ", ".join(f"{key} {share:.0%}" for key, share in self.importances.items())
            console.print(f"\nhow much each field says of the score: {shares}", soft_wrap=True, highlight=False)
        for again in self.confirmed:
            scores = ", ".join(f"{score:.4f}" for score in again.scores.values())
            console.print(f"trial {again.number + 1} under other seeds: mean {again.mean:.4f} ({scores})")
        console.print(
            f"\nThe best of {len(self.trials)} trials by {self.chosen_by}; its score there is raised by the choice. "
            "What follows was measured once, after it.",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        print_summary(self.released, console)


def sweep_name(recipe: RunConfig, config: SweepConfig) -> str:
    """What a sweep is found by when its command is given again. More trials, more at a time, or another place for
    them are the same sweep."""
    same = config.model_dump(mode="json", include={"space", "sampler", "pruner", "seed"})
    return f"{recipe.name}-{fingerprint(recipe_sha256(recipe), same)[:8]}-sweep"


def _flow_run_name() -> str:
    return sweep_name(flow_run.parameters["recipe"], flow_run.parameters["config"])


@flow(name="sweep", flow_run_name=_flow_run_name)
def sweep(recipe: RunConfig, config: SweepConfig) -> SweepResult:
    """Try settings of the recipe, then fine-tune, evaluate and release with the best of them.

    Args:
        recipe: The recipe; its release applies to the best trial's run alone.
        config: What is tried, and how.
    """
    workspace, name = Workspace.here(), sweep_name(recipe, config)
    with truthful_in_prefect(workspace, flow_run.id or ""), sole_sweep(workspace, name):
        check_hardware(recipe.training)
        signing_key(recipe)
        if recipe.release.push:
            check_hub(recipe.release)
        store = connect_tracking(workspace)
        trials = Trials(open_storage(workspace), name, config)
        with _parent_run(store, recipe, trials) as parent:
            sweeping = Sweeping(recipe, trials, store, parent, workspace)
            _run_all(sweeping)
            confirmed = _confirm(sweeping)
            summary = _summary(sweeping, confirmed)
            settings = trials.settings(summary.chosen)
            outcomes = tuple(trials.outcomes())
            importances = trials.importances()
            pictures = draw_trials(trials, workspace.sweeps / name)
            record_sweep(store, parent, summary, outcomes, importances, pictures)
            released = finetune(with_settings(recipe, settings, "the best trial"), False, None, parent, None, summary)
    result = SweepResult(
        name=name, mlflow_run_id=parent, trials=outcomes, best=summary.chosen,
        chosen_by=f"{summary.suite}/{summary.metric}", confirmed=confirmed, importances=importances, settings=settings,
        released=released,
    )  # fmt: skip
    result.write(workspace.sweeps / name / "sweep.json")
    return result


@contextmanager
def _parent_run(store: Store, recipe: RunConfig, trials: Trials) -> Iterator[str]:
    """The MLflow run that the trials are nested in, one for all starts of the sweep; ended as the block ends."""
    parent = trials.recall(PARENT)
    if parent is None or not store.reopen_run(str(parent)):
        tags = {"stsflow.recipe": recipe.name, "stsflow.sweep": trials.name}
        parent, _ = store.open_run(
            recipe.tracking.experiment, trials.name, tags, recipe.description, datetime.now(UTC), adopt=parent is None
        )
        trials.keep(PARENT, parent)
    try:
        yield str(parent)
    except BaseException as error:
        stopped = not isinstance(error, Exception)
        store.end_run(str(parent), "KILLED" if stopped else "FAILED", "stopped" if stopped else str(error))
        raise
    store.end_run(str(parent), "FINISHED")


def _run_all(sweeping: Sweeping) -> None:
    """Run the trials that are left, so many at a time; all share the one training slot that is held meanwhile.

    A trial that raises ends the sweep; whatever ends it ends the trainers, and the same command goes on.
    """
    trials, recipe, workspace = sweeping.trials, sweeping.recipe, sweeping.workspace
    if len(trials.outcomes()) >= trials.config.trials:
        return
    prepare_run(recipe, workspace, fresh=False)  # what trials share, and what would be refused of the best after hours
    flow_run_id = flow_run.id or ""
    with training_slot(recipe.training.concurrency_limit, workspace, flow_run_id):
        jobs = (partial(run_trial, number, sweeping, flow_run_id) for number in trials.numbers())
        side_by_side(jobs, trials.config.parallel, sweeping.stopped, partial(_tell, sweeping))


def _tell(sweeping: Sweeping, outcome: TrialOutcome) -> None:
    """One line on the trial that has ended; the weights of those that are no longer among the best go."""
    trials, ranked = sweeping.trials, sweeping.trials.ranked()
    said = outcome.reason or "failed"
    if outcome.state == "complete":
        said = f"{sweeping.recipe.choosing_suite}/{sweeping.recipe.choosing_metric} {outcome.score:.4f}"
    best = f"; the best so far: {ranked[0].score:.4f} (trial {ranked[0].number + 1})" if ranked else ""
    logger.info("trial %d of %d: %s%s", outcome.number + 1, trials.config.trials, said, best)
    kept = ranked[: CONFIRMED if trials.config.confirm_seeds else 1]
    let_go(trials.outcomes(), kept, sweeping.workspace)


def _confirm(sweeping: Sweeping) -> tuple[Confirmation, ...]:
    """The best trials under seeds by which none of them was chosen; empty where that is not asked for."""
    trials, recipe = sweeping.trials, sweeping.recipe
    if not trials.config.confirm_seeds:
        return ()
    found = []
    with training_slot(recipe.training.concurrency_limit, sweeping.workspace, flow_run.id or ""):
        for one in trials.ranked()[:CONFIRMED]:
            first = with_settings(recipe, one.settings, f"trial {one.number + 1}").training.seed + 1
            scores = {
                seed: run_confirmation(one.number, seed, sweeping, flow_run.id or "")
                for seed in range(first, first + trials.config.confirm_seeds)
            }
            found.append(Confirmation(number=one.number, scores=scores))
            logger.info("trial %d under %d other seeds: mean %.4f", one.number + 1, len(scores), found[-1].mean)
    return tuple(found)


def _summary(sweeping: Sweeping, confirmed: tuple[Confirmation, ...]) -> SweepSummary:
    """What the card says of the sweep, and which trial is the best: by its score, or by the mean over other seeds.

    Raises RunFailed where no trial ran to its end.
    """
    trials, recipe, config = sweeping.trials, sweeping.recipe, sweeping.trials.config
    outcomes, ranked = trials.outcomes(), trials.ranked()
    scores = tuple(one.score for one in outcomes if one.state == "complete" and one.score is not None)
    if not ranked:
        reasons = "; ".join(dict.fromkeys(outcome.reason for outcome in outcomes if outcome.reason))
        raise RunFailed(f"none of the {len(outcomes)} trials of {trials.name} ran to its end: {reasons}")
    best = ranked[0]
    if confirmed:
        chosen = max(confirmed, key=lambda one: (one.mean, -one.number)).number
        best = next(outcome for outcome in ranked if outcome.number == chosen)
    return SweepSummary(
        suite=recipe.choosing_suite or "", metric=recipe.choosing_metric, fields=tuple(config.space.fields),
        sampler=config.sampler, pruner=config.pruner, seed=config.seed, scores=scores,
        pruned=sum(outcome.state == "pruned" for outcome in outcomes),
        failed=sum(outcome.state == "failed" for outcome in outcomes),
        chosen=best.number, score=best.score or 0.0, confirmed=confirmed,
    )  # fmt: skip
