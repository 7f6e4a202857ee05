"""Prefect tasks of the mining stage."""

from __future__ import annotations

from prefect import task

from stsflow.tasks.ground.errors import DownloadFailed
from stsflow.tasks.ground.trying_again import when_raised
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.mining.build import mine_negatives as mine
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef


@task(
    name="mine negatives", task_run_name="mine negatives of {recipe.name}", retries=2, retry_delay_seconds=30,
    retry_condition_fn=when_raised(DownloadFailed),
)  # fmt: skip
def mine_negatives(
    recipe: RunConfig, data: PreparedData, base: BaseModelRef, workspace: Workspace, fresh: bool
) -> PreparedData:
    """The data with mined negatives in the training sets for which the recipe asks for them."""
    return mine(recipe, data, base, workspace, fresh=fresh)
