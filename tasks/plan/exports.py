"""What a recipe will export, and what each export may cost."""

from __future__ import annotations

from stsflow.tasks.exports import Export
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.findings import Finding


def export_findings(recipe: RunConfig) -> list[Finding]:
    """A note that names every export with the limits that it will be held to; none where there is no export."""
    exports = recipe.release.exports
    if not exports:
        return []
    return [
        Finding(
            severity="info",
            code="exports.planned",
            subject="release.exports",
            message=f"After evaluation the model is exported {len(exports)} time(s), and released in each form only "
            f"where that keeps its limits: {'; '.join(_in_words(name, export) for name, export in exports.items())}.",
        )
    ]


def _in_words(name: str, export: Export) -> str:
    limits = export.limits_in_force
    size = "" if export.dimensions is None else f" of {export.dimensions:,} dimensions"
    stated = (
        ("largest distance", limits.max_distance), ("mean distance", limits.mean_distance),
        ("loss on a suite", limits.metric_loss), ("bytes", limits.size_bytes), ("ms for a text", limits.milliseconds),
    )  # fmt: skip
    allowed = ", ".join(f"{what} {value:,.10g}" for what, value in stated if value is not None)
    return f"{name} ({export.kind}{size}; {allowed})"
