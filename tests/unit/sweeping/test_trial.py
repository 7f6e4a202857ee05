"""What is done for the first trial of a sweep alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import write_small_recipe

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.sweeping.settings import SweepConfig
from stsflow.tasks.sweeping.space import SearchSpace
from stsflow.tasks.sweeping.storage import open_storage
from stsflow.tasks.sweeping.trial import ask_of_trainer, try_trainer_once
from stsflow.tasks.sweeping.trials import Trials
from stsflow.tasks.training.request import TrainingRequest

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'stsflow[sweep]'")
SPACE = SearchSpace.model_validate({"fields": {"training.learning_rate": {"low": 1e-5, "high": 1e-2}}})


def with_arguments(request: TrainingRequest, **arguments: object) -> TrainingRequest:
    return request.model_copy(update={"training": request.training.model_copy(update={"arguments": arguments})})


@pytest.mark.slow
def test_the_trainer_is_tried_until_it_has_passed_once(workspace: Workspace, tmp_path: Path, tiny_bert: Path) -> None:
    recipe = RunConfig.from_recipe(write_small_recipe(tmp_path / "small.yaml", tiny_bert), ("training.threads=1",))
    request = ask_of_trainer(recipe, workspace.make())
    trials = Trials(open_storage(workspace), "a-sweep", SweepConfig(space=SPACE, trials=3))
    impossible = with_arguments(request, adam_beta1=5.0)
    try_trainer_once(trials, request, workspace)  # a plain one needs no trial, and says nothing of the others
    for _ in range(2):
        with pytest.raises(RecipeError, match="Invalid beta parameter"):
            try_trainer_once(trials, impossible, workspace)
    try_trainer_once(trials, with_arguments(request, adam_beta2=0.98), workspace)
    again = Trials(open_storage(workspace), "a-sweep", SweepConfig(space=SPACE, trials=3))
    try_trainer_once(again, impossible, workspace)  # of a sweep that was killed and goes on, too
