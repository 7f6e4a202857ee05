"""One model and one set of rows give one number, by `evaluate` and by a run alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import write_small_recipe

from stsflow.flows.evaluate import evaluate_on_recipe
from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import RunConfig


@pytest.mark.slow
def test_evaluate_reads_the_base_of_a_recipe_as_its_runs_do(
    tiny_bert: Path, workspace: Workspace, tmp_path: Path
) -> None:
    settings = ("model.max_seq_length=6", "model.pooling=cls", "evaluation.resamples=0")
    recipe = RunConfig.from_recipe(write_small_recipe(tmp_path / "recipe.yaml", tiny_bert), settings)
    suites = recipe.evaluation.suites
    base = fetch_base_model(recipe.model, workspace)
    in_a_run = ModelUnderTest("base", base.path, base.digest, base)
    as_it_is = ModelUnderTest("as-it-is", base.path, base.digest)
    data = prepare_evaluation(suites, None, workspace)
    run, whole = evaluate_models([in_a_run, as_it_is], recipe.evaluation, data, tmp_path / "run", prompts={})
    found = evaluate_on_recipe(str(tiny_bert), recipe)
    assert (found.max_seq_length, run.max_seq_length, whole.max_seq_length) == (6, 6, 128)
    for name, scores in found.suites.items():
        assert scores.metrics == run.suites[name].metrics
        assert scores.metrics != whole.suites[name].metrics
