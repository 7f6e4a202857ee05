"""Prefect tasks of the evaluation stage."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.runtime import task_run

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.task_run_names import listing
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.hardware import AskedDevice
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Difference, EvaluationReport


def _run_name() -> str:
    given = task_run.parameters
    return f"evaluate {given['names']} on {listing(given['config'].suites)}"


@task(name="evaluate", task_run_name=_run_name)
def evaluate(
    names: str,  # noqa: ARG001 - Prefect puts it into the task run's name
    models: list[ModelUnderTest],
    config: EvaluationConfig,
    data: PreparedData,
    folder: Path,
    workspace: Workspace,
    fresh: bool = False,
    device: AskedDevice = "auto",
) -> list[EvaluationReport]:
    """Every model on every suite, by the same code, in one child process. `names` is for the run's name alone."""
    return evaluate_models(
        models, config.suites, data, config, folder, device=device, workspace=None if fresh else workspace
    )


@task(name="compare scores", task_run_name="compare {before.model} and {after.model}")
def compare_scores(
    before: EvaluationReport, after: EvaluationReport, config: EvaluationConfig, workspace: Workspace,
    fresh: bool = False,
) -> tuple[Difference, ...]:  # fmt: skip
    """Paired differences on the same rows, as records and as a table in Prefect."""
    differences = compare(before, after, config, workspace=None if fresh else workspace)
    publish_artifact(
        create_table_artifact, key="scores", table=score_table(before, after, differences), description="Scores"
    )
    return differences


def score_table(
    before: EvaluationReport, after: EvaluationReport, differences: tuple[Difference, ...]
) -> list[dict[str, str]]:
    """Rows for people: suite, rows, primary metric of both models, difference with its interval, p-value."""
    rows = []
    for name, tuned in after.suites.items():
        base = before.suites[name]
        found = next((d for d in differences if d.suite == name and d.metric == tuned.primary), None)
        interval = found.interval if found else None
        rows.append(
            {
                "suite": name,
                "rows": f"{tuned.rows:,}",
                "metric": tuned.primary,
                before.model: f"{base.metrics[tuned.primary]:.4f}",
                after.model: f"{tuned.metrics[tuned.primary]:.4f}",
                "difference": f"{found.difference:+.4f}" if found else "",
                "interval": f"[{interval.low:+.4f}, {interval.high:+.4f}]" if interval else "",
                "p": f"{found.p_value:.4f}" if found and found.p_value is not None else "",
            }
        )
    return rows
