"""What to know of a recipe before it trains: whether it would notice that its model forgets, how often it trains."""

from __future__ import annotations

from stsflow.tasks.plan.exports import export_findings
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.findings import Finding


def recipe_notes(recipe: RunConfig) -> list[Finding]:
    """All of them."""
    return _on_guards(recipe) + _on_seeds(recipe) + export_findings(recipe)


def _on_seeds(recipe: RunConfig) -> list[Finding]:
    """A note where several trainings make one model: the forecast is that of one."""
    if not recipe.other_seeds:
        return []
    return [
        Finding(
            severity="info",
            code="merge.seeds",
            subject="release.merge.seeds",
            message=f"{1 + len(recipe.other_seeds)} trainings are averaged; the exposure and the forecast are those "
            "of one.",
        )
    ]


def _on_guards(recipe: RunConfig) -> list[Finding]:
    """A note where the recipe guards nothing."""
    if recipe.evaluation.guard:
        return []
    return [
        Finding(
            severity="info",
            code="guard.none",
            subject="evaluation.guard",
            message="The recipe has no guard against forgetting: what the base model can do besides and may lose is "
            "not measured.",
            remedy="Add a suite of the base model's home task, or of another language; name it in evaluation.guard.",
        )
    ]
