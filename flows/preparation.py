"""What a run does before it is opened: models, data, tokens, plan. What is wrong with a recipe comes up here."""

from __future__ import annotations

from dataclasses import dataclass

from stsflow.tasks.data.defined import require_defined
from stsflow.tasks.data.task import prepare_data
from stsflow.tasks.evaluation.task import check_prompts
from stsflow.tasks.exports import require_exports
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.suites_apart import check_suites_apart
from stsflow.tasks.mining.task import mine_negatives
from stsflow.tasks.models.task import check_model, fetch_model
from stsflow.tasks.plan.task import plan_run, probe_run
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.suites import require_suites
from stsflow.tasks.teaching.task import teach
from stsflow.tasks.teaching.teach import TEACHES
from stsflow.tasks.tokens.lengths import stored_lengths
from stsflow.tasks.tokens.task import profile_tokens
from stsflow.tasks.training.request import TrainingRequest, training_request
from stsflow.tasks.training.task import try_training
from stsflow.tasks.training.trial import needs_trial


@dataclass(frozen=True)
class Preparation:
    """All that a training begins with."""

    base: BaseModelRef
    teacher: BaseModelRef | None
    guide: BaseModelRef | None
    data: PreparedData
    """Mined and taught."""
    tokens: TokenReport
    plan: PlanReport
    request: TrainingRequest


def prepare_run(recipe: RunConfig, workspace: Workspace, fresh: bool) -> Preparation:
    """Models fetched, rows prepared, mined, taught and measured, and what the model will see of them worked out.

    Raises whatever a recipe, its models and its data can be refused for, each as its stage does.
    """
    base = fetch_model(recipe.model, workspace, recipe.prompts)
    teacher = fetch_model(recipe.teacher, workspace, gives=TEACHES) if recipe.teacher else None
    guide = fetch_model(recipe.training.guide, workspace) if recipe.training.guide else None
    require_suites(recipe.evaluation.suites, base)
    require_exports(recipe.release.exports, base)
    data = _rows(recipe, base, teacher, workspace, fresh)
    checked = tuple(
        finding for model in (base, guide) if model is not None for finding in check_model(model, data, workspace)
    )
    checked += check_prompts(recipe, base, data, workspace)
    tokens = profile_tokens(
        data, base, recipe.batch_sizes, recipe.tokens, recipe.plan.maximum_truncated_share, workspace, fresh,
        column_prompts(recipe, base),
    )  # fmt: skip
    plan = plan_run(recipe, base, data, tokens, checked, workspace)
    request = training_request(recipe, data, base, stored_lengths(tokens, workspace), guide)
    if needs_trial(request):
        try_training(request, workspace)
    if recipe.plan.probe_in_run:
        plan = probe_run(recipe, request, tokens, plan, workspace)
    return Preparation(base, teacher, guide, data, tokens, plan, request)


def _rows(
    recipe: RunConfig, base: BaseModelRef, teacher: BaseModelRef | None, workspace: Workspace, fresh: bool
) -> PreparedData:
    """The sets, kept apart, with mined negatives and a teacher's labels where the recipe asks for them."""
    data = prepare_data(recipe.data, recipe.evaluation.suites, workspace, fresh)
    check_suites_apart(recipe, data)
    require_defined(data, choosing=recipe.choosing_suite, headline=recipe.headline_suite)
    if recipe.mining:
        data = mine_negatives(recipe, data, base, workspace, fresh)
    if recipe.teacher and teacher:
        data = teach(data, teacher, recipe.teacher, recipe.taught, recipe.training.device, workspace, fresh)
    return data
