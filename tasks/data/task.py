"""Prefect tasks of the data stage."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task

from tasks.config import DataConfig
from tasks.data.build import prepare_data as prepare
from tasks.errors import DownloadFailed
from tasks.evaluation.suites import Suite
from tasks.records import PreparedData
from tasks.retry import only
from tasks.workspace import Workspace


@task(name="prepare data", retries=2, retry_delay_seconds=30, retry_condition_fn=only(DownloadFailed))
def prepare_data(data: DataConfig, suites: Mapping[str, Suite], workspace: Workspace, fresh: bool) -> PreparedData:
    """Every training and evaluation set: fetched, checked, shaped, compared with each other, on disk."""
    return prepare(data, suites, workspace, fresh=fresh)
