"""Prefect tasks of the plan stage."""

from __future__ import annotations

import logging

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.plan.exposure import plan_exposure
from stsflow.tasks.plan.findings import merge_findings
from stsflow.tasks.plan.notes import recipe_notes
from stsflow.tasks.plan.probe import probe_forecast
from stsflow.tasks.plan.report import exposure_table, plan_markdown
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.tokens.lengths import stored_lengths
from stsflow.tasks.training.disk import check_disk
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.request import TrainingRequest

logger = logging.getLogger(__name__)


@task(name="plan", task_run_name="plan {recipe.name}")
def plan_run(
    recipe: RunConfig, base: BaseModelRef, data: PreparedData, tokens: TokenReport, checked: tuple[Finding, ...],
    workspace: Workspace,
) -> PlanReport:  # fmt: skip
    """What the model will see, worked out before the trainer starts, with every stage's findings.

    Raises PreconditionError when something is certainly wrong, or when the disk has no room for the checkpoints.
    """
    check_disk(base, recipe.training, workspace.root)
    world_size = launcher_of(recipe.training).world_size
    exposure = plan_exposure(recipe, data, world_size, base, stored_lengths(tokens, workspace))
    findings = merge_findings(exposure.findings, checked, data.findings, tokens.findings, recipe_notes(recipe))
    plan = exposure.model_copy(update={"findings": findings})
    publish_artifact(
        create_table_artifact, key="exposure", table=exposure_table(plan), description="What the model will see"
    )
    publish_artifact(create_markdown_artifact, key="plan", markdown=plan_markdown(plan), description="Plan")
    for finding in plan.findings:
        if finding.severity == "warning":
            logger.warning("%s", finding.in_words())
    refuse_errors(plan)
    return plan


@task(name="probe", task_run_name="probe {recipe.name}", cache_policy=NO_CACHE)
def probe_run(
    recipe: RunConfig, request: TrainingRequest, tokens: TokenReport, plan: PlanReport, workspace: Workspace
) -> PlanReport:
    """The plan with a forecast from a few real steps; raises PreconditionError when the run will not fit the memory."""
    forecast, found = probe_forecast(recipe, request, tokens, plan, workspace)
    plan = plan.model_copy(update={"forecast": forecast, "findings": merge_findings(plan.findings, found)})
    publish_artifact(create_markdown_artifact, key="plan", markdown=plan_markdown(plan), description="Plan")
    refuse_errors(plan)
    return plan


def refuse_errors(plan: PlanReport) -> None:
    """Raise PreconditionError with every finding that is an error."""
    errors = [finding.in_words() for finding in plan.findings if finding.severity == "error"]
    if errors:
        raise PreconditionError("\n".join(errors))
