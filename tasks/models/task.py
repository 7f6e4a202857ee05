"""Prefect tasks of the models stage."""

from __future__ import annotations

from prefect import task

from tasks.config import ModelConfig
from tasks.errors import DownloadFailed
from tasks.models.fetch import fetch_base_model
from tasks.models.preflight import require_loadable
from tasks.records import BaseModelRef, Finding, PreparedData
from tasks.retry import only
from tasks.workspace import Workspace


@task(
    name="fetch base model",
    task_run_name="fetch base model",
    retries=2,
    retry_delay_seconds=30,
    retry_condition_fn=only(DownloadFailed),
)
def fetch_model(model: ModelConfig, workspace: Workspace) -> BaseModelRef:
    """The base model on the local disk, verified."""
    return fetch_base_model(model, workspace)


@task(name="check base model", task_run_name="check {base.name}")
def check_model(base: BaseModelRef, data: PreparedData, workspace: Workspace) -> tuple[Finding, ...]:
    """What is wrong with the base model before hours are spent on it; empty when it is sound.

    Raises ModelError when it does not load at all.
    """
    from tasks.models.preflight import sample_texts

    return require_loadable(base, sample_texts(data), workspace.preflight(base.digest))
