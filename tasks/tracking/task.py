"""Prefect tasks that keep the record of a run. entries.py decides what is recorded, store.py speaks to MLflow."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE  # a relay has no cache key
from prefect.utilities.urls import url_for

from stsflow.tasks.evaluation.guard import guard_outcomes
from stsflow.tasks.ground.environment import code_revision, hardware, versions
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.lock import lock_recipe, recipe_yaml
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.card import CardRef
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Difference, Differences, EvaluationReport
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.mining import MinedSets
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.tracking import entries, runs
from stsflow.tasks.tracking.journal import Artifacts, Finish, Model, Tags, milliseconds
from stsflow.tasks.tracking.links import (
    DESCRIPTION_TAG,
    EMBEDDED_PREFECT_VARIABLE,
    curves_page,
    mlflow_run_url,
    run_description,
)
from stsflow.tasks.tracking.reconcile import reconcile
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.store_address import check_reachable

logger = logging.getLogger(__name__)


@task(name="check tracking", task_run_name="check tracking")
def connect_tracking(workspace: Workspace) -> Store:
    """The tracking store, known to answer; runs that a dead process left behind are marked as crashed."""
    check_reachable(workspace)
    store = Store(workspace)
    store.check_access()
    reconcile(store, workspace)
    return store


@task(name="open run", task_run_name="open run of {recipe.name}")
def open_run(
    store: Store, workspace: Workspace, recipe: RunConfig, sha256: str, flow_run_id: str, started: datetime,
    resume: str | None, fresh: bool, parent: str | None = None,
) -> RunRef:  # fmt: skip
    """The MLflow run and folder of this run: a new one, or the recipe's unfinished one; in Prefect a link to it."""
    tags = {
        "stsflow.recipe": recipe.name,
        "stsflow.recipe_sha256": sha256,
        **_flow_run_tags(flow_run_id),
        "stsflow.code_revision": code_revision() or f"stsflow {versions().get('stsflow', '')}",
        **({"mlflow.parentRunId": parent} if parent else {}),
        **recipe.tracking.tags,
    }
    run = runs.open_run(
        store,
        workspace,
        recipe,
        sha256,
        flow_run_id=flow_run_id,
        started=started,
        tags=tags,
        resume=resume,
        fresh=fresh,
    )
    if run.attempt > 1:
        logger.info("continuing %s, attempt %d", run.name, run.attempt)
    if url := mlflow_run_url(run.tracking_uri, run.experiment_id, run.mlflow_run_id):
        create_link_artifact(key="mlflow-run", link=url, link_text=run.name, description="This run in MLflow")
    return run


@task(name="record preparation", task_run_name="record preparation of {run.name}", cache_policy=NO_CACHE)
def record_preparation(
    relay: Relay, run: RunRef, recipe: RunConfig, base: BaseModelRef, data: PreparedData, tokens: TokenReport,
    plan: PlanReport | None, guide: BaseModelRef | None = None,
) -> None:  # fmt: skip
    """The recipe as parameters, the data sets as inputs, counts as metrics; the records as files."""
    folder = RunFolder(run.folder)
    environment = versions() | hardware()
    _note_drift(relay, run, environment)
    write_text_atomically(folder.recipe, recipe_yaml(lock_recipe(recipe, base, data, guide)))
    data.write(folder.prepared)
    if mined := tuple(item.mined for item in data.train if item.mined is not None):
        MinedSets(sets=mined).write(folder.mining)
    base.write(folder.base_model)
    tokens.write(folder.token_report)
    journal = relay.journal
    if not len(journal):
        journal.append(entries.recipe_params(recipe))
    for entry in entries.preparation(base, data, tokens, plan, environment, guide):
        journal.append_once(entry)
    if plan is not None:
        plan.write(folder.plan_report)
    for path in ("recipe.yaml", "data", "tokens", *(("plan",) if plan else ())):
        journal.append_once(Artifacts(path=path, folder=path.removesuffix(".yaml")))
    _describe(relay, run, recipe)
    relay.flush()


@task(name="record results", task_run_name="record results of {run.name}", cache_policy=NO_CACHE)
def record_results(
    relay: Relay, run: RunRef, recipe: RunConfig, trained: TrainedModel, reports: list[EvaluationReport],
    differences: tuple[Difference, ...], card: CardRef, exports: Exports | None = None,
) -> None:  # fmt: skip
    """Training, scores, card, exports that were released, and model."""
    folder = RunFolder(run.folder)
    trained.write(folder.result)
    Differences(items=differences).write(folder.differences)
    journal = relay.journal
    merged = entries.merging(trained.merge) if trained.merge else []
    kept = entries.guard(guard_outcomes(recipe, reports[0], reports[1], differences))
    shipped = entries.exports(exports) if exports else []
    for entry in [*entries.training_result(trained), *entries.scores(reports, differences), *merged, *kept, *shipped]:
        journal.append_once(entry)
    if trained.reused:
        journal.append_once(Tags(values={"stsflow.reused_from": trained.fingerprint}))
    _describe(relay, run, recipe, reports, differences)
    for name in ("training", "evaluation", "card", *(("exports",) if exports else ())):
        journal.append_once(Artifacts(path=name, folder=name))
    if recipe.tracking.log_model or recipe.release.register_as:
        journal.append_once(model_entry(run, recipe, trained, reports, card))
        journal.append_once(entries.model_scores(reports, trained.model_digest))
    relay.flush()


def model_entry(
    run: RunRef, recipe: RunConfig, trained: TrainedModel, reports: Iterable[EvaluationReport], card: CardRef
) -> Model:
    """The tuned model as it is logged; the release registers it under a name when it was decided on."""
    digests = {name: suite.data_digest for report in reports for name, suite in report.suites.items()}
    return Model(
        path="model", digest=trained.model_digest, dimension=trained.dimension,
        example=tuple(sentence for group in trained.widget for sentence in group)[:3] or ("An example.",),
        description=card.body(),
        tags={
            "stsflow.recipe": recipe.name, "stsflow.run": run.name, "stsflow.flow_run_id": run.flow_run_id,
            "stsflow.data": ", ".join(f"{name}={digest[:12]}" for name, digest in digests.items()),
        },
    )  # fmt: skip


@contextmanager
def ended_truthfully(relay: Relay, run: RunRef, *, patience_seconds: float = 60.0) -> Iterator[None]:
    """Whatever ends the block, run.json and MLflow say how: finished, failed with the reason, or cancelled."""
    folder = RunFolder(run.folder)
    try:
        yield
    except BaseException as error:
        cancelled = not isinstance(error, Exception)
        reason = "cancelled" if cancelled else str(error) or type(error).__name__
        lines = runs.trainer_log_lines(relay.store.workspace, runs.state_of(run))
        relay.journal.append(
            Finish(status="KILLED" if cancelled else "FAILED", time=milliseconds(), reason=reason, log_lines=lines)
        )
        runs.close_run(folder, "cancelled" if cancelled else "failed", reason)
        relay.finish(patience_seconds=5.0)
        raise
    relay.journal.append(Finish(status="FINISHED", time=milliseconds()))
    runs.state_of(run)
    runs.close_run(folder, "finished")
    relay.finish(patience_seconds=patience_seconds)


def _describe(
    relay: Relay, run: RunRef, recipe: RunConfig, reports: Iterable[EvaluationReport] = (),
    differences: Iterable[Difference] = (),
) -> None:  # fmt: skip
    """What stands on top of the run in MLflow: what it is, how base and tuned compare, where it is in Prefect."""
    metrics = ["train/loss"]
    if recipe.choosing_suite is not None:
        metrics.append(f"eval/{recipe.choosing_suite}/{recipe.choosing_metric}")
    curves = curves_page(run.experiment_id, run.mlflow_run_id, metrics)
    text = run_description(recipe.description, _flow_run_url(run.flow_run_id), curves, reports, differences)
    if text:
        relay.journal.append_once(Tags(values={DESCRIPTION_TAG: text}))


def _flow_run_url(flow_run_id: str) -> str | None:
    """The flow run's page in the Prefect UI; None without a flow run, or with a server that is gone afterwards."""
    if not flow_run_id or EMBEDDED_PREFECT_VARIABLE in os.environ:
        return None
    return url_for("flow-run", obj_id=flow_run_id)


def _flow_run_tags(flow_run_id: str) -> dict[str, str]:
    url = _flow_run_url(flow_run_id)
    return {"prefect.flow_run_id": flow_run_id} | ({"prefect.flow_run_url": url} if url else {})


def _note_drift(relay: Relay, run: RunRef, environment: dict[str, str]) -> None:
    """On a later attempt: tag what is different from the first one, such as a library's version or the processor."""
    if run.attempt == 1:
        return
    first = next(
        (e.values for _, e in relay.journal.after(0) if isinstance(e, Tags) and "stsflow.base_digest" in e.values), {}
    )
    prefix = "stsflow.environment."
    changed = {
        name: f"{first[prefix + name]} -> {value}"
        for name, value in environment.items()
        if prefix + name in first and first[prefix + name] != value
    }
    values = {"stsflow.attempts": str(run.attempt), **_flow_run_tags(run.flow_run_id)}
    if changed:
        values["stsflow.drift"] = "; ".join(f"{name}: {change}" for name, change in changed.items())
        logger.warning("this attempt runs under other conditions than the first: %s", values["stsflow.drift"])
    relay.journal.append(Tags(values=values))
