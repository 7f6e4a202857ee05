"""Prefect tasks of the evaluation stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.runtime import task_run

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.prompts_compared import prompt_findings
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.evaluation.side_by_side import Beside, side_by_side
from stsflow.tasks.ground.task_run_names import listing
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.hardware import AskedDevice
from stsflow.tasks.recipe.sections import EvaluationConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Difference, EvaluationReport
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import SuitePrompts


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
    prompts: Mapping[str, SuitePrompts],
    workspace: Workspace,
    fresh: bool = False,
    device: AskedDevice = "auto",
) -> list[EvaluationReport]:
    """Every model on every suite, by the same code, in one child process. `names` is for the run's name alone."""
    return evaluate_models(
        models, config, data, folder, prompts=prompts, device=device, workspace=None if fresh else workspace
    )


@task(name="check prompts", task_run_name="check prompts of {recipe.name}")
def check_prompts(
    recipe: RunConfig, base: BaseModelRef, data: PreparedData, workspace: Workspace
) -> tuple[Finding, ...]:
    """Prompts that do not fit each other, with what that costs the base model."""
    return prompt_findings(recipe, base, data, workspace)


@task(name="compare scores", task_run_name="compare {before.model} and {after.model}")
def compare_scores(
    before: EvaluationReport, after: EvaluationReport, config: EvaluationConfig, workspace: Workspace,
    fresh: bool = False,
) -> tuple[Difference, ...]:  # fmt: skip
    """Paired differences on the same rows, as records and as a table in Prefect."""
    differences = compare(before, after, config, workspace=None if fresh else workspace)
    table = score_table(side_by_side(before, after, differences), before.model, after.model)
    publish_artifact(create_table_artifact, key="scores", table=table, description="Scores")
    return differences


def score_table(rows: Iterable[Beside], first: str, second: str) -> list[dict[str, str]]:
    """For people: each suite by the primary metric of the models `first` and `second`, their difference and p-value."""
    rows = [row for row in rows if row.is_primary]
    others = dict.fromkeys(row.suite.reference.name for row in rows if row.suite.reference)
    return [
        {
            "suite": row.suite.suite,
            "rows": f"{row.suite.rows:,}",
            "metric": row.metric,
            **{
                name: f"{row.reference:.4f}" if row.suite.reference and row.suite.reference.name == name else ""
                for name in others
            },
            first: "" if row.before is None else f"{row.before:.4f}",
            second: f"{row.after:.4f}",
            "difference": f"{row.paired.difference:+.4f}" if row.paired else "",
            "interval": f"[{row.interval.low:+.4f}, {row.interval.high:+.4f}]" if row.interval else "",
            "p": f"{row.paired.p_value:.4f}" if row.paired and row.paired.p_value is not None else "",
        }
        for row in rows
    ]
