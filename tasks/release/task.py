"""Prefect tasks of the release stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_table_artifact

from tasks.publish import publish
from tasks.records import Release
from tasks.release.decision import decide
from tasks.release.evidence import Evidence
from tasks.release.promotion import crown, nominate
from tasks.release.rules import Rule
from tasks.tracking.registry import RegisteredModel, champion_of
from tasks.tracking.store import Store
from tasks.workspace import Workspace

logger = logging.getLogger(__name__)


@task(name="fetch champion", task_run_name="fetch champion of {name}")
def fetch_champion(store: Store, name: str, workspace: Workspace) -> RegisteredModel | None:
    """The current champion on the local disk, or None when there is none yet."""
    return champion_of(store, name, workspace)


@task(name="decide on promotion", task_run_name="decide on {name} version {version}")
def decide_and_promote(store: Store, name: str, version: str, rules: Sequence[Rule], evidence: Evidence) -> Release:
    """The decision, with the alias moved when it is a yes, and a table of the rules in Prefect."""
    nominate(store, name, version)
    decision = decide(rules, evidence)
    previous = crown(store, name, version, decision.reason) if decision.promoted else None
    if decision.outcomes:
        rows = [{"rule": o.rule, "holds": "yes" if o.holds else "no", "reason": o.reason} for o in decision.outcomes]
        publish(
            create_table_artifact,
            key="promotion",
            table=rows,
            description=f"{name} version {version}: {decision.reason}",
        )
    reason = f"registered as {name} version {version}; {decision.reason}"
    logger.info("%s", reason)
    return decision.model_copy(
        update={"registered_as": name, "version": version, "previous": previous, "reason": reason}
    )
