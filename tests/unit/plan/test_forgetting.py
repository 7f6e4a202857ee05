"""A recipe without a guard against forgetting says so in its plan."""

from __future__ import annotations

from collections.abc import Callable

from stsflow.tasks.plan.forgetting import guard_findings
from stsflow.tasks.recipe.sections import RunConfig


def test_only_a_recipe_that_guards_nothing_is_told_so(recipe: Callable[..., RunConfig]) -> None:
    config = recipe({"nli": "triplets"})
    (finding,) = guard_findings(config)
    assert (finding.severity, finding.code, finding.subject) == ("info", "guard.none", "evaluation.guard")
    assert "name it in evaluation.guard" in finding.in_words()
    values = config.model_dump(mode="json")
    values["evaluation"]["guard"] = {next(iter(config.evaluation.suites)): {}}
    assert guard_findings(RunConfig.model_validate(values)) == []
