"""Prefect tasks of the data stage."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task
from prefect.runtime import task_run

from tasks.config import DataConfig
from tasks.data.build import prepare_data as prepare
from tasks.errors import DownloadFailed
from tasks.evaluation.suites import Suite
from tasks.records import PreparedData
from tasks.retry import only
from tasks.run_names import listing
from tasks.workspace import Workspace


def _run_name() -> str:
    given = task_run.parameters
    return f"prepare {listing([*given['data'].train, *given['suites']])}"


@task(
    name="prepare data", task_run_name=_run_name, retries=2, retry_delay_seconds=30,
    retry_condition_fn=only(DownloadFailed),
)  # fmt: skip
def prepare_data(data: DataConfig, suites: Mapping[str, Suite], workspace: Workspace, fresh: bool) -> PreparedData:
    """Every training and evaluation set: fetched, checked, shaped, compared with each other, on disk."""
    return prepare(data, suites, workspace, fresh=fresh)
