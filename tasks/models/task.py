"""Prefect tasks of the models stage."""

from __future__ import annotations

from prefect import task

from stsflow.tasks.ground.errors import DownloadFailed
from stsflow.tasks.ground.trying_again import when_raised
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.kinds import EMBEDDINGS
from stsflow.tasks.models.preflight import require_loadable
from stsflow.tasks.recipe.sections import ModelConfig, PromptsConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef


@task(
    name="fetch base model",
    task_run_name="fetch base model",
    retries=2,
    retry_delay_seconds=30,
    retry_condition_fn=when_raised(DownloadFailed),
)
def fetch_model(
    model: ModelConfig, workspace: Workspace, prompts: PromptsConfig | None = None, gives: frozenset[str] = EMBEDDINGS
) -> BaseModelRef:
    """The model on the local disk, verified; of a kind that gives one of `gives`. The base has the recipe's prompts."""
    return fetch_base_model(model, workspace, prompts, gives=gives)


@task(name="check base model", task_run_name="check {base.name}")
def check_model(base: BaseModelRef, data: PreparedData, workspace: Workspace) -> tuple[Finding, ...]:
    """What is wrong with the base model before hours are spent on it; empty when it is sound.

    Raises ModelError when it does not load at all.
    """
    from stsflow.tasks.models.preflight import sample_texts

    return require_loadable(base, sample_texts(data), workspace)
