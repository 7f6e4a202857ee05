"""Prefect tasks of the data stage."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task
from prefect.runtime import task_run

from stsflow.tasks.data.build import prepare_data as prepare
from stsflow.tasks.ground.errors import DownloadFailed
from stsflow.tasks.ground.task_run_names import listing
from stsflow.tasks.ground.trying_again import when_raised
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import DataConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.suites import Suite


def _run_name() -> str:
    given = task_run.parameters
    return f"prepare {listing([*given['data'].train, *given['suites']])}"


@task(
    name="prepare data", task_run_name=_run_name, retries=2, retry_delay_seconds=30,
    retry_condition_fn=when_raised(DownloadFailed),
)  # fmt: skip
def prepare_data(data: DataConfig, suites: Mapping[str, Suite], workspace: Workspace, fresh: bool) -> PreparedData:
    """Every training and evaluation set: fetched, checked, shaped, compared with each other, on disk."""
    return prepare(data, suites, workspace, fresh=fresh)
