"""Prefect tasks of the card stage."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact

from stsflow.tasks.card.content import gather_content
from stsflow.tasks.card.evidence import Evidence, digests_of_pairs
from stsflow.tasks.card.render import write_card
from stsflow.tasks.card.samples import read_samples
from stsflow.tasks.card.usage import read_modules
from stsflow.tasks.evaluation.slices_compared import moved_rows
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import RunFolder
from stsflow.tasks.recipe.lock import lock_recipe
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.card import CardRef
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SeedSummary
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.looks import Account
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.tokens.histogram import draw_histogram


@task(name="write model card", task_run_name="write model card of {run.name}")
def write_model_card(
    recipe: RunConfig, run: RunRef, data: PreparedData, base: BaseModelRef, tokens: TokenReport, plan: PlanReport,
    trained: TrainedModel, reports: list[EvaluationReport], differences: tuple[Difference, ...],
    seeds: SeedSummary | None = None, exports: Exports | None = None, account: Account | None = None,
    sweep: SweepSummary | None = None,
) -> CardRef:  # fmt: skip
    """The card in the run's folder and beside the weights, and as a markdown artifact in Prefect."""
    folder = RunFolder(run.folder)
    histogram = draw_histogram(tokens, folder.tokens / "token-lengths.png")
    before, after, *others = reports
    evidence = Evidence(
        recipe=lock_recipe(recipe, base, data, trained.guide), run=run, data=data, base=base, tokens=tokens, plan=plan,
        trained=trained, base_scores=before, tuned_scores=after,
        teacher_scores=others[0] if others else None, differences=differences,
        samples={item.name: read_samples(item) for item in data.train}, modules=read_modules(trained.model),
        histogram=histogram is not None, seeds=seeds, pairs=digests_of_pairs(before, after),
        moved=moved_rows(before, after), exports=exports,
        account=account, sweep=sweep,
    )  # fmt: skip
    card = write_card(gather_content(evidence, histogram), folder.card, folder.model)
    publish_artifact(
        create_markdown_artifact, key="model-card", markdown=card.body(), description=f"Model card of {run.name}"
    )
    return card
