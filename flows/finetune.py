"""The main flow: a recipe in, a tuned model with its evidence out."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run

from stsflow.flows.approval import ask_in_prefect, asked_before
from stsflow.flows.ops.truthful_flow_runs import truthful_in_prefect
from stsflow.flows.preparation import prepare_run
from stsflow.flows.push import ask_to_push, push_as_asked
from stsflow.flows.release import gated, release_model
from stsflow.flows.sign_card import signing_key
from stsflow.flows.summary import RunSummary, summarise
from stsflow.tasks.card.task import write_model_card
from stsflow.tasks.evaluation.run import ModelUnderTest
from stsflow.tasks.evaluation.task import compare_scores, evaluate
from stsflow.tasks.exporting.task import export_model
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.merging.task import merge_with_base
from stsflow.tasks.plan.report import write_plan_page
from stsflow.tasks.recipe.lock import recipe_sha256
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import SeedSummary
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.release.task import account_for_the_card, check_hub
from stsflow.tasks.tracking.relay import require_sent
from stsflow.tasks.tracking.runs import relay_of
from stsflow.tasks.tracking.task import (
    connect_tracking,
    ended_truthfully,
    model_entry,
    open_run,
    record_preparation,
    record_results,
)
from stsflow.tasks.training.task import train, train_other_seeds
from stsflow.tasks.training.trial import check_hardware

logger = logging.getLogger(__name__)


def _flow_run_name() -> str:
    recipe: RunConfig = flow_run.parameters["recipe"]
    return f"{recipe.name}-{recipe_sha256(recipe)[:8]}"


@flow(name="finetune", flow_run_name=_flow_run_name)
def finetune(
    recipe: RunConfig,
    fresh: bool = False,
    resume: str | None = None,
    parent: str | None = None,
    seeds: SeedSummary | None = None,
    sweep: SweepSummary | None = None,
) -> RunSummary:
    """Fine-tune a sentence-embedding model as the recipe says, and record all of it.

    Prepares the data, measures its tokens, works out what the model will see, trains, evaluates base and tuned model
    with the same code, writes the model card, registers the model and decides on its promotion.

    Args:
        recipe: The run, as a recipe states it.
        fresh: Reuse nothing: prepare, train and evaluate again.
        resume: Continue this run (folder name or MLflow run id) and no other.
        parent: MLflow run that this one is nested in.
        seeds: Scores under other seeds, for the card of the best of them.
        sweep: The sweep whose best settings these are, for the card.
    """
    started = datetime.now(UTC)
    workspace = Workspace.here()
    if (asked := asked_before(workspace, flow_run.id or "")) is not None:
        store = connect_tracking(workspace)
        return push_as_asked(recipe.release, store, ask_in_prefect(store, asked))
    sha256 = recipe_sha256(recipe)
    recipe_lease = workspace.lease(f"recipe-{sha256[:24]}")
    with truthful_in_prefect(workspace, flow_run.id or ""), lease(recipe_lease, on_wait=_say_who_runs):
        check_hardware(recipe.training)
        key = signing_key(recipe)
        store = connect_tracking(workspace)
        if recipe.release.push:
            check_hub(recipe.release)
        ready = prepare_run(recipe, workspace, fresh)
        base, data = ready.base, ready.data

        run = open_run(store, workspace, recipe, sha256, flow_run.id or "", started, resume, fresh, parent)
        folder, relay = RunFolder(run.folder), relay_of(store, run)
        with ended_truthfully(relay, run):
            write_plan_page(ready.plan, folder.plan / "plan.md")
            record_preparation(relay, run, recipe, base, data, ready.tokens, ready.plan, ready.guide)
            trained = train(recipe.name, ready.request, run, relay, recipe.training.concurrency_limit, fresh, workspace)
            if recipe.release.merge is not None:
                others = train_other_seeds(recipe, ready.request, run, relay, fresh, workspace)
                trained = merge_with_base(recipe, run, base, trained, others, data, workspace, fresh)
            measured = evaluate(
                "base and tuned", _models(recipe, base, trained, ready.teacher), recipe.evaluation, data,
                folder.evaluation, recipe.prompts.suites, workspace, fresh, recipe.training.device,
            )  # fmt: skip
            reports = measured[:2]
            differences = compare_scores(reports[0], reports[1], recipe.evaluation, workspace, fresh)
            if seeds is not None:
                seeds.write(folder.seeds)
            if sweep is not None:
                sweep.write(folder.sweep)
            exports = export_model(recipe, run, base, trained, data, reports[1], workspace, fresh)
            account = account_for_the_card(relay, folder, recipe, reports[1], differences)
            card = write_model_card(
                recipe, run, data, base, ready.tokens, ready.plan, trained, measured, differences, seeds, exports,
                account, sweep,
            )  # fmt: skip
            if key is not None:
                key.sign(folder.model)
            record_results(relay, run, recipe, trained, measured, differences, card, exports)
            model = model_entry(run, recipe, trained, measured, card)
            release = release_model(recipe, run, relay, data, reports, model, workspace, gated(exports))
        require_sent(relay.finish(patience_seconds=0.0), relay, run.name)
    summary = summarise(recipe, run, trained, measured, differences, card, release, exports)
    ask_to_push(recipe.release, store, release)
    return push_as_asked(recipe.release, store, ask_in_prefect(store, summary))


def _models(
    recipe: RunConfig, base: BaseModelRef, trained: TrainedModel, teacher: BaseModelRef | None
) -> list[ModelUnderTest]:
    """Base and tuned model, and the teacher where there is a suite that it can be measured on."""
    models = [
        ModelUnderTest("base", base.path, base.digest, base),
        ModelUnderTest("tuned", trained.model, trained.model_digest),
    ]
    helps = [ModelUnderTest("teacher", teacher.path, teacher.digest, teacher)] if teacher else []
    return models + [model for model in helps if model.measured_on(recipe.evaluation.suites)]


def _say_who_runs(holder: str) -> None:
    logger.info("this recipe is being run by %s; waiting for it, then reusing what it made", holder)
