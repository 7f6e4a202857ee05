"""Prefect tasks of the card stage."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact

from stsflow.tasks.card.content import gather_content
from stsflow.tasks.card.render import write_card
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import RunFolder
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.card import CardRef
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SeedSummary
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.tokens.histogram import draw_histogram


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
    publish_artifact(
        create_markdown_artifact, key="model-card", markdown=card.body(), description=f"Model card of {run.name}"
    )
    return card
