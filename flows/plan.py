"""`stsflow plan`: what a recipe will do, from the same functions that a run uses, without Prefect or MLflow."""

from __future__ import annotations

import logging

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.data.defined import require_defined
from stsflow.tasks.evaluation.prompts_compared import prompt_findings
from stsflow.tasks.exports import require_exports
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.suites_apart import check_suites_apart
from stsflow.tasks.mining.build import mine_negatives
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.preflight import require_loadable, sample_texts
from stsflow.tasks.plan.exposure import plan_exposure
from stsflow.tasks.plan.findings import merge_findings
from stsflow.tasks.plan.notes import recipe_notes
from stsflow.tasks.plan.probe import probe_forecast
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.plan import Forecast, PlanReport
from stsflow.tasks.release.hub_repository import require_push
from stsflow.tasks.suites import require_suites
from stsflow.tasks.teaching.teach import TEACHES, teach_sets
from stsflow.tasks.tokens.lengths import stored_lengths
from stsflow.tasks.tokens.statistics import measure_tokens
from stsflow.tasks.training.disk import check_disk
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.request import training_request
from stsflow.tasks.training.trial import check_hardware, try_trainer

logger = logging.getLogger(__name__)


def plan_recipe(recipe: RunConfig, *, probe: bool) -> PlanReport:
    """Exposure, findings of every stage, and with `probe` a forecast from a few real steps.

    Raises what a run would raise before its trainer starts.
    """
    workspace = Workspace.here()
    check_hardware(recipe.training)
    require_push(recipe.release)
    base = fetch_base_model(recipe.model, workspace, recipe.prompts)
    teacher = fetch_base_model(recipe.teacher, workspace, gives=TEACHES) if recipe.teacher else None
    guide = fetch_base_model(recipe.training.guide, workspace) if recipe.training.guide else None
    require_suites(recipe.evaluation.suites, base)
    require_exports(recipe.release.exports, base)
    check_disk(base, recipe.training, workspace.root)
    data = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    check_suites_apart(recipe, data)
    require_defined(data, choosing=recipe.choosing_suite, headline=recipe.headline_suite)
    data = mine_negatives(recipe, data, base, workspace)
    if recipe.teacher and teacher:
        device = recipe.training.device
        data = teach_sets(data, teacher, recipe.teacher, recipe.taught, workspace, device=device)
    checked = tuple(
        finding
        for model in (base, guide)
        if model is not None
        for finding in require_loadable(model, sample_texts(data), workspace)
    )
    checked += prompt_findings(recipe, base, data, workspace)
    tokens = measure_tokens(
        data, base, recipe.batch_sizes, workspace, recipe.tokens,
        maximum_truncated_share=recipe.plan.maximum_truncated_share, prompts=column_prompts(recipe, base),
    )  # fmt: skip
    lengths = stored_lengths(tokens, workspace)
    plan = plan_exposure(recipe, data, launcher_of(recipe.training).world_size, base, lengths)
    request = training_request(recipe, data, base, lengths, guide)
    if not any(finding.severity == "error" for finding in (*plan.findings, *checked)):
        try_trainer(request, workspace)
    forecast: Forecast | None = None
    found: tuple[Finding, ...] = ()
    if probe and recipe.plan.probe_steps:
        logger.info("probing: %d steps of the real trainer", recipe.plan.probe_steps)
        forecast, found = probe_forecast(recipe, request, tokens, plan, workspace)
    findings = merge_findings(plan.findings, checked, data.findings, tokens.findings, found, recipe_notes(recipe))
    return plan.model_copy(update={"findings": findings, "forecast": forecast})
