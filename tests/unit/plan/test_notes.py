"""What a plan notes of a recipe: no guard against forgetting, several trainings."""

from __future__ import annotations

from collections.abc import Callable

from stsflow.tasks.plan.notes import recipe_notes
from stsflow.tasks.recipe.sections import RunConfig


def test_only_a_recipe_that_guards_nothing_is_told_so(recipe: Callable[..., RunConfig]) -> None:
    config = recipe({"nli": "triplets"})
    (finding,) = recipe_notes(config)
    assert (finding.severity, finding.code, finding.subject) == ("info", "guard.none", "evaluation.guard")
    assert "name it in evaluation.guard" in finding.in_words()
    values = config.model_dump(mode="json")
    values["evaluation"]["guard"] = {next(iter(config.evaluation.suites)): {}}
    assert recipe_notes(RunConfig.model_validate(values)) == []


def test_several_trainings_are_said(recipe: Callable[..., RunConfig]) -> None:
    config = recipe({"nli": "triplets"})
    values = config.model_dump(mode="json")
    values["release"]["merge"] = {"seeds": 3, "weights": []}
    values["training"]["seed"] = 7
    several = RunConfig.model_validate(values)
    assert several.other_seeds == (8, 9) and config.other_seeds == ()
    (_, finding) = recipe_notes(several)
    assert (finding.code, finding.message[:11]) == ("merge.seeds", "3 trainings")
