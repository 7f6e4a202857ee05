"""Whether a recipe would notice that its model forgets."""

from __future__ import annotations

from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.findings import Finding


def guard_findings(recipe: RunConfig) -> list[Finding]:
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
