"""Prefect tasks of the card stage."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.card.content import gather_content
from tasks.card.render import write_card
from tasks.config import RunConfig
from tasks.publish import publish
from tasks.records import (
    BaseModelRef,
    CardRef,
    Difference,
    EvaluationReport,
    PlanReport,
    PreparedData,
    RunRef,
    SeedSummary,
    TokenReport,
    TrainedModel,
)
from tasks.tokens.histogram import draw_histogram
from tasks.workspace import RunFolder


@task(name="write model card", task_run_name="write model card of {run.name}")
def write_model_card(
    recipe: RunConfig, run: RunRef, data: PreparedData, base: BaseModelRef, tokens: TokenReport, plan: PlanReport,
    trained: TrainedModel, reports: list[EvaluationReport], differences: tuple[Difference, ...],
    seeds: SeedSummary | None = None,
) -> CardRef:  # fmt: skip
    """The card in the run's folder and beside the weights, and as a markdown artifact in Prefect."""
    folder = RunFolder(run.folder)
    histogram = draw_histogram(tokens, folder.tokens / "token-lengths.png")
    before, after = reports
    content = gather_content(
        recipe, run, data, base, tokens, plan, trained, before, after, differences, histogram=histogram, seeds=seeds
    )
    card = write_card(content, folder.card, folder.model)
    publish(create_markdown_artifact, key="model-card", markdown=card.body(), description=f"Model card of {run.name}")
    return card
