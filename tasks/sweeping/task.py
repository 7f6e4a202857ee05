"""Prefect tasks of a sweep's trials, and of the seeds of a study."""

from __future__ import annotations

import logging
import math
import shutil
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE  # a store has no cache key
from pydantic import JsonValue

from stsflow.tasks.ground.errors import LossNotFinite, StsflowError, TrainerKilled
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.made.folder import held
from stsflow.tasks.recipe.reading import with_settings
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sweeps import TrialOutcome
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.sweeping.places import Place
from stsflow.tasks.sweeping.space import in_words
from stsflow.tasks.sweeping.trial import Judge, Pruned, ask_of_trainer, is_the_settings_fault, try_trainer_once
from stsflow.tasks.sweeping.trials import Trials
from stsflow.tasks.tracking import entries, runs
from stsflow.tasks.tracking.journal import Tags, metrics_now
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.task import ended_truthfully
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.task import Watcher

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""With a tracker that is away at the end of a trial; the next start, and `stsflow sync`, complete the record."""


class Sweeping:
    """What all trials of a sweep share while it is at work."""

    def __init__(self, recipe: RunConfig, trials: Trials, store: Store, parent: str, workspace: Workspace) -> None:
        self.recipe, self.trials, self.store, self.parent, self.workspace = recipe, trials, store, parent, workspace
        self.stopped = threading.Event()
        """Set when trials in other threads have to end."""

    def check_stopped(self) -> None:
        """Raise KeyboardInterrupt when the sweep is being ended; for a trial, which then ends its trainer."""
        if self.stopped.is_set():
            raise KeyboardInterrupt

    def run_of(self, recipe: RunConfig, part: str, flow_run_id: str, tags: dict[str, str]) -> RunRef:
        """The nested MLflow run and folder of a part of the sweep: what was begun or has ended, else a new one."""
        identity = fingerprint(self.trials.name, part)
        for folder, state in runs.known_runs(self.workspace):
            if state.recipe_sha256 == identity and state.status == "finished":
                return runs.reference(folder, state)
        tags |= {
            "stsflow.recipe": recipe.name, "stsflow.recipe_sha256": identity, "stsflow.sweep": self.trials.name,
            "mlflow.parentRunId": self.parent, "prefect.flow_run_id": flow_run_id,
        }  # fmt: skip
        named = recipe.model_copy(update={"name": f"{recipe.name}-{part}"})
        return runs.open_run(
            self.store, self.workspace, named, identity, flow_run_id=flow_run_id, started=datetime.now(UTC), tags=tags,
            resume=None, fresh=False,
        )  # fmt: skip


@task(name="trial", task_run_name="trial {number} of {sweeping.trials.name}", cache_policy=NO_CACHE)
def run_trial(number: int, sweeping: Sweeping, flow_run_id: str) -> TrialOutcome:
    """Train with the trial's settings, judged at every evaluation on the choosing suite; how it ended.

    What other settings might do better at is a failed trial. Anything else, a full disk among it, is raised, and the
    trial is taken up again by the next start.
    """
    trials = sweeping.trials
    settings = trials.settings(number)
    said = ", ".join(f"{key} {in_words(value)}" for key, value in settings.items())
    logger.info("trial %d of %d: %s", number + 1, trials.config.trials, said)
    try:
        return _train_trial(number, settings, sweeping, flow_run_id)
    except StsflowError as error:
        if not is_the_settings_fault(error, settings) and not _killed_again(error, number, trials):
            raise
        trials.note(number, reason=error.message.splitlines()[0][:500])
        return trials.finish(number, "failed", None)


@task(name="confirm", task_run_name="trial {number} under seed {seed}", cache_policy=NO_CACHE)
def run_confirmation(number: int, seed: int, sweeping: Sweeping, flow_run_id: str) -> float:
    """The choosing score of a trial's settings under another seed; kept with the trials, so that it is trained once."""
    trials, key = sweeping.trials, f"confirmed:{number}:{seed}"
    if (known := trials.recall(key)) is not None:
        return float(known)
    recipe = with_settings(sweeping.recipe, trials.settings(number) | {"training.seed": seed}, f"trial {number}")
    run = sweeping.run_of(recipe, f"trial-{number + 1:03d}-seed-{seed}", flow_run_id, {"stsflow.seed": str(seed)})
    relay = runs.relay_of(sweeping.store, run)
    with ended_truthfully(relay, run, patience_seconds=PATIENCE_SECONDS):
        trained = _trained(recipe, sweeping, run, relay, None)
        score = _score(trained)
        relay.journal.append_once(metrics_now({"sweep/score": score}))
    trials.keep(key, score)
    if not trained.reused:  # else it is another run's
        shutil.rmtree(trained.model, ignore_errors=True)
    return score


@task(name="train a seed", task_run_name="train {name} under seed {request.training.seed}", cache_policy=NO_CACHE)
def train_seed(
    name: str,  # noqa: ARG001 - Prefect puts it into the task run's name
    request: TrainingRequest,
    place: Place,
    stopped: threading.Event,
    workspace: Workspace,
) -> TrainedModel:
    """The trained model, in the workspace, where the run of that seed finds it finished; errors as `train_in_child`.

    A training that was begun goes on from its last checkpoint. `stopped` ends it.
    """
    folder = workspace.training(request.fingerprint)

    def should_stop() -> None:
        if stopped.is_set():
            raise KeyboardInterrupt

    with held(workspace, "trainings", request.fingerprint, "the same training"):
        trained = train_in_child(request, folder, start=place.train, should_stop=should_stop)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    logger.info(
        "seed %d: trained %s steps in %.0f s%s", request.training.seed, trained.steps, trained.train_seconds,
        " (the same training had finished before)" if trained.reused else "",
    )  # fmt: skip
    return trained


def let_go(outcomes: Iterable[TrialOutcome], kept: Iterable[TrialOutcome], workspace: Workspace) -> None:
    """Delete the weights of trials that are not among `kept`; their events, log and result stay."""
    for key in {outcome.training for outcome in outcomes} - {outcome.training for outcome in kept} - {""}:
        folder = workspace.training(key)
        if folder.model.exists() or folder.checkpoints.exists():
            with held(workspace, "trainings", key, "a training whose weights are to be deleted"):
                shutil.rmtree(folder.model, ignore_errors=True)
                shutil.rmtree(folder.checkpoints, ignore_errors=True)


def _killed_again(error: StsflowError, number: int, trials: Trials) -> bool:
    """Whether a signal ended the trial's trainer a second time: for want of memory, then, and not by chance."""
    if not isinstance(error, TrainerKilled):
        return False
    before = trials.fact(number, "killed")
    trials.note(number, killed="yes")
    return before is not None


def _train_trial(number: int, settings: dict[str, JsonValue], sweeping: Sweeping, flow_run_id: str) -> TrialOutcome:
    trials = sweeping.trials
    recipe = with_settings(sweeping.recipe, settings, f"trial {number + 1}")
    run = sweeping.run_of(recipe, f"trial-{number + 1:03d}", flow_run_id, {"stsflow.trial": str(number + 1)})
    trials.note(number, mlflow_run_id=run.mlflow_run_id)
    relay = runs.relay_of(sweeping.store, run)
    with ended_truthfully(relay, run, patience_seconds=PATIENCE_SECONDS):
        if not len(relay.journal):
            relay.journal.append(entries.recipe_params(recipe))
        try:
            trained = _trained(recipe, sweeping, run, relay, number)
        except Pruned as pruned:
            trials.note(number, reason=str(pruned))
            relay.journal.append_once(Tags(values={"stsflow.trial_state": str(pruned)}))
            score = None
        else:
            score = _score(trained)
            for entry in [*entries.training_result(trained), metrics_now({"sweep/score": score})]:
                relay.journal.append_once(entry)
    return trials.finish(number, "pruned" if score is None else "complete", score)


def _trained(recipe: RunConfig, sweeping: Sweeping, run: RunRef, relay: Relay, number: int | None) -> TrainedModel:
    """The trained model, judged on its way where it is the trial of that number."""
    workspace = sweeping.workspace
    request = ask_of_trainer(recipe, workspace)
    try_trainer_once(sweeping.trials, request, workspace)
    folder = workspace.training(request.fingerprint)
    hear = Watcher(relay.journal, recipe.choosing_suite).record
    if number is not None:
        made_here = not folder.result.is_file()  # else it is another run's, whose weights are not ours to delete
        sweeping.trials.note(number, training=request.fingerprint if made_here else "")
        hear = Judge(sweeping.trials, number, recipe.choosing_metric, hear).listen

    def hear_unless_stopped(events: list[Event]) -> None:
        sweeping.check_stopped()
        hear(events)

    def should_stop() -> None:
        sweeping.check_stopped()

    runs.note_training(RunFolder(run.folder), request.fingerprint)
    with held(workspace, "trainings", request.fingerprint, "the same training"), relay.in_background():
        trained = train_in_child(
            request, folder, start=sweeping.trials.config.place.train, on_event=hear_unless_stopped,
            should_stop=should_stop,
        )  # fmt: skip
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return trained


def _score(trained: TrainedModel) -> float:
    if trained.best_metric is None or not math.isfinite(trained.best_metric):
        raise LossNotFinite(f"{trained.choose_metric} is not defined for any checkpoint: the model collapsed")
    return trained.best_metric
