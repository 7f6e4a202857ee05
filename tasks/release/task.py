"""Prefect tasks of the release stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_table_artifact

from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.records.release import Release
from stsflow.tasks.release.promotion import promote_on_evidence
from stsflow.tasks.release.trail import CHAMPION
from stsflow.tasks.rules import Rule
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.registry import RegisteredModel
from stsflow.tasks.tracking.store import Store

logger = logging.getLogger(__name__)


@task(name="fetch champion", task_run_name="fetch champion of {name}")
def fetch_champion(store: Store, name: str) -> RegisteredModel | None:
    """The current champion on the local disk, or None when there is none yet."""
    return store.registry.at(name, CHAMPION)


@task(name="decide on promotion", task_run_name="decide on {name} version {version}")
def decide_and_promote(
    store: Store, name: str, version: str, rules: Sequence[Rule], guards: Sequence[Rule], candidacy: Candidacy, how: str
) -> Release:
    """The decision, with the alias moved when it is a yes, and a table of the rules and guards in Prefect.

    `how` says how the version came about: `registered`, or registered before by a run that made the same weights.
    """
    decision = promote_on_evidence(store.registry, name, version, rules, candidacy, guards)
    if decision.outcomes:
        rows = [{"rule": o.rule, "holds": "yes" if o.holds else "no", "reason": o.reason} for o in decision.outcomes]
        publish_artifact(
            create_table_artifact,
            key="promotion",
            table=rows,
            description=f"{name} version {version}: {decision.reason}",
        )
    reason = f"{how} as {name} version {version}; {decision.reason}"
    logger.info("%s", reason)
    return decision.model_copy(update={"reason": reason})
