"""One trial: what its trainer is asked to do, and what is judged of it while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.errors import (
    DataError,
    ModelError,
    RecipeError,
    StsflowError,
    TrainerKilled,
    TrainingFailed,
)
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.mining.build import mine_negatives
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.sweeping.trials import Trials
from stsflow.tasks.teaching.teach import TEACHES, teach_sets
from stsflow.tasks.tokens.lengths import stored_lengths
from stsflow.tasks.tokens.statistics import measure_tokens
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest, training_request
from stsflow.tasks.training.trial import check_losses, needs_trial, try_trainer

READ = ("data.", "model.", "teacher.", "mining.", "training.guide.")
"""Fields whose values decide which models and files are read."""
TRIED = "trainer_tried"
"""Kept with the trials once a trainer has been tried."""


class Pruned(Exception):
    """The trial is not worth its time; the message says where it stood."""


def ask_of_trainer(recipe: RunConfig, workspace: Workspace) -> TrainingRequest:
    """What the recipe asks of the trainer; models, rows and lengths are found by content where they are made.

    No suite is scored here; the rows of all are prepared, because training rows are held against them.
    """
    base = fetch_base_model(recipe.model, workspace, recipe.prompts)
    guide = fetch_base_model(recipe.training.guide, workspace) if recipe.training.guide else None
    data = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    if recipe.mining:
        data = mine_negatives(recipe, data, base, workspace)
    if recipe.teacher:
        teacher = fetch_base_model(recipe.teacher, workspace, gives=TEACHES)
        data = teach_sets(data, teacher, recipe.teacher, recipe.taught, workspace, device=recipe.training.device)
    tokens = measure_tokens(
        data, base, recipe.batch_sizes, workspace, recipe.tokens,
        maximum_truncated_share=recipe.plan.maximum_truncated_share, prompts=column_prompts(recipe, base),
    )  # fmt: skip
    return training_request(recipe, data, base, stored_lengths(tokens, workspace), guide)


def try_trainer_once(trials: Trials, request: TrainingRequest, workspace: Workspace) -> None:
    """Try the trainer for a step where that has not been done for an earlier trial; raises what `try_trainer` raises.

    It tells early what the libraries refuse of the recipe. What they refuse of a later trial's settings fails at its
    own first step all the same.
    """
    if trials.recall(TRIED):
        check_losses(request)
        return
    try_trainer(request, workspace, trials.config.place.train)
    trials.keep(TRIED, needs_trial(request))


def is_the_settings_fault(error: StsflowError, tried: Iterable[str]) -> bool:
    """Whether other settings of the keys that are tried may fare better: the trial has failed, and the sweep goes on.

    A model or a file that is gone is a setting's fault where those are tried, else a reason to stop and go on later.
    """
    if isinstance(error, DataError | ModelError):
        return any(key.startswith(READ) for key in tried)
    return isinstance(error, RecipeError | TrainingFailed) and not isinstance(error, TrainerKilled)


class Judge:
    """Listens to a trial's trainer: reports each evaluation, and raises Pruned where the trial is hopeless.

    An evaluation is known by its number in the run, not by its step: of a trial with twice the batch, half the steps
    are as far. What a killed trainer had told is heard again from the beginning and judged as before.
    """

    def __init__(self, trials: Trials, number: int, metric: str, hear: Callable[[list[Event]], None]) -> None:
        self.trials, self.number, self.metric, self.hear = trials, number, metric, hear
        self.evaluations = 0
        self.last_step: float | None = None

    def listen(self, events: list[Event]) -> None:
        """Pass the events on, up to the one that ends the trial."""
        for position, event in enumerate(events, start=1):
            if event.kind == "progress":
                self.last_step = event.values.get("total_steps")
            elif event.kind == "evaluation" and self._is_hopeless(event):
                self.hear(events[:position])
                raise Pruned(f"pruned at step {event.step} with {event.values[self.metric]:.4f}")
        self.hear(events)

    def _is_hopeless(self, event: Event) -> bool:
        self.evaluations += 1
        score = event.values.get(self.metric)
        if score is None:  # not defined: the model collapsed at this step
            return False
        self.trials.report(self.number, self.evaluations, score)
        is_last = self.last_step is not None and (event.step or 0) >= self.last_step
        return not is_last and self.trials.is_hopeless(self.number, self.evaluations)
