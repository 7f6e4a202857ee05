"""Prefect tasks of the tokens stage."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.runtime import task_run

from stsflow.tasks.ground.task_run_names import listing
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import TokensConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.tokens.statistics import measure_tokens
from stsflow.tasks.tokens.table import token_table


def _run_name() -> str:
    data: PreparedData = task_run.parameters["data"]
    return f"profile tokens of {listing(item.name for item in (*data.train, *data.evaluation))}"


@task(name="profile tokens", task_run_name=_run_name)
def profile_tokens(
    data: PreparedData,
    base: BaseModelRef,
    batch_sizes: Mapping[str, int],
    config: TokensConfig,
    maximum_truncated_share: float,
    workspace: Workspace,
    fresh: bool,
    prompts: ColumnPrompts,
) -> TokenReport:
    """Token statistics of every row of every set, as a record and as a table in Prefect."""
    report = measure_tokens(
        data, base, batch_sizes, workspace, config, maximum_truncated_share=maximum_truncated_share, prompts=prompts,
        fresh=fresh,
    )  # fmt: skip
    publish_artifact(
        create_table_artifact,
        key="tokens",
        table=token_table(report),
        description=f"Token lengths under {report.tokenizer}",
    )
    return report
