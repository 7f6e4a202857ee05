"""The weekly look at the champion: the same suites, the same code, its numbers then beside those now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from stsflow.flows.drift import asked_for, look_at_texts, read_by
from stsflow.tasks.data.task import prepare_data
from stsflow.tasks.drift.look import Looker
from stsflow.tasks.evaluation.run import ModelUnderTest
from stsflow.tasks.evaluation.task import evaluate
from stsflow.tasks.ground.errors import CheckFailed, PreconditionError
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import DriftConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.drift import DriftReport
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.release.approval import note_overdue
from stsflow.tasks.release.task import fetch_champion
from stsflow.tasks.release.trail import CHAMPION
from stsflow.tasks.sources import Access
from stsflow.tasks.tracking.drift import record_look
from stsflow.tasks.tracking.registry import RegisteredModel
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.task import connect_tracking


class Drift(Record):
    """One suite: then and now."""

    suite: str
    metric: str
    then: float | None
    """None: the run that made the champion did not measure this."""
    now: float

    @property
    def change(self) -> float:
        """Now minus then; 0 where there is no then."""
        return 0.0 if self.then is None else self.now - self.then

    def beyond(self, tolerance: float) -> bool:
        """Whether the change is more than `tolerance`, or a score that was defined is not any more."""
        if self.then is not None and math.isnan(self.then) and math.isnan(self.now):
            return False
        return not abs(self.change) <= tolerance


def run_name() -> str:
    """`assess-<recipe>`."""
    recipe: Any = flow_run.parameters["recipe"]
    return f"assess-{recipe.name if isinstance(recipe, RunConfig) else recipe['name']}"


@flow(name="assess", flow_run_name=run_name)
def assess(
    recipe: RunConfig,
    tolerance: float = 0.002,
    texts: list[str] | None = None,
    against: list[str] | None = None,
    fail_on_drift: bool = False,
) -> State[Any]:
    """Evaluate the champion of the recipe's registered model again and compare with what was recorded for it; look
    whether the texts of production are still those that it was trained on.

    Nothing about the model changed, so a change beyond `tolerance` means that data or software did: the run fails and
    says where. Ends in the state `Skipped` when there is no champion yet.

    Args:
        recipe: The recipe whose champion is looked at.
        tolerance: Largest change of a score that is none.
        texts: Files, folders or addresses of unlabelled texts; default: those of the recipe's section `drift`.
        against: An earlier window to compare them with, in place of training's texts.
        fail_on_drift: Fail when retraining is due, in place of saying so.
    """
    asked = asked_for(recipe, texts or (), against or ())
    workspace = Workspace.here()
    if recipe.release.register_as is None:
        raise PreconditionError("the recipe registers no model (release.register_as), so that it has no champion.")
    store = connect_tracking(workspace)
    note_overdue(store.registry)
    folder = workspace.root / "assessments" / f"{recipe.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    champion = fetch_champion(store, recipe.release.register_as)
    if champion is None:
        return Completed(name="Skipped", message=f"skipped: {recipe.release.register_as} has no champion yet")
    data = prepare_data(recipe.data, recipe.evaluation.suites, workspace, False)
    model = ModelUnderTest(CHAMPION, champion.path, champion.digest)
    (report,) = evaluate(
        CHAMPION, [model], recipe.evaluation, data, folder / "evaluation", recipe.prompts.suites, workspace, True,
        recipe.training.device,
    )  # fmt: skip
    drifts = compare_with_record(champion, recorded_scores(store, champion.run_id), report)
    seen = None if asked is None else compare_texts(recipe, champion, asked, data, store, folder, workspace)
    drifted = [drift for drift in drifts if drift.beyond(tolerance)]
    who, failed = f"{champion.name} version {champion.version}", []
    if drifted:
        found = "; ".join(f"{d.suite} {d.metric} {d.then:.4f} then, {d.now:.4f} now" for d in drifted)
        failed.append(f"{who} scores differently than when it was made: {found}")
    if seen is not None and seen.due and fail_on_drift:
        failed.append(f"{who}: {seen.verdict}")
    if failed:
        raise CheckFailed("; ".join(failed))
    said = f"; {seen.verdict}" if seen is not None else ""
    return Completed(message=f"{who} scores as it did, on {len(drifts)} suites{said}")


@task(name="compare texts with training's")
def compare_texts(
    recipe: RunConfig, champion: RegisteredModel, asked: DriftConfig, data: PreparedData, store: Store, folder: Path,
    workspace: Workspace,
) -> DriftReport:  # fmt: skip
    """The look at the texts: as `drift.json` in the assessment's folder, on the champion's run in MLflow, and as a
    table in Prefect."""
    reader = Looker(
        f"{champion.name}-{champion.version}", champion.path, champion.digest, recipe.evaluation.batch_size,
        recipe.training.device,
    )  # fmt: skip
    access = Access(
        recipe.data.root, workspace.downloads, recipe.data.download_timeout_seconds, recipe.data.download_retries
    )
    report = look_at_texts(reader, asked, data, access, workspace, read_by(store, champion.run_id, recipe))
    report.write(folder / "drift.json")
    if champion.run_id:
        record_look(store, champion.run_id, report)
    rows = [
        {"measure": one.what, "distance": _shown(one.statistic), "p": one.p_value, "corrected p": one.adjusted}
        for one in report.measures
    ]
    publish_artifact(create_table_artifact, key="drift", table=rows, description=report.verdict)
    for note in report.notes:
        get_run_logger().warning("%s", note)
    get_run_logger().info("%s", report.verdict)
    return report


@task(name="compare with record")
def compare_with_record(
    champion: RegisteredModel, recorded: Mapping[str, float], report: EvaluationReport
) -> tuple[Drift, ...]:
    """Then and now of each suite's primary metric, also as a table in Prefect."""
    drifts = tuple(
        Drift(
            suite=name,
            metric=scores.primary,
            then=recorded.get(f"{name}/{scores.primary}"),
            now=scores.metrics[scores.primary],
        )
        for name, scores in report.suites.items()
    )
    rows = [
        {"suite": d.suite, "metric": d.metric, "then": _shown(d.then), "now": _shown(d.now), "change": _shown(d.change)}
        for d in drifts
    ]
    publish_artifact(
        create_table_artifact,
        key="champion-scores",
        table=rows,
        description=f"{champion.name} version {champion.version}: then and now",
    )
    get_run_logger().info("assessed %s version %s on %d suites", champion.name, champion.version, len(drifts))
    return drifts


def recorded_scores(store: Store, run_id: str) -> dict[str, float]:
    """`<suite>/<metric>` to value, from the run that made the champion; empty when no run did."""
    metrics = store.run(run_id).data.metrics if run_id else {}
    return {key.removeprefix("tuned/"): value for key, value in metrics.items() if key.startswith("tuned/")}


def _shown(value: float | None) -> float | str:
    """A number with four digits; Prefect's tables are JSON, which has none for what is not defined."""
    if value is None:
        return ""
    return round(value, 4) if math.isfinite(value) else "not defined"
