"""Prefect tasks of the release stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE  # functions and a journal have no cache key

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import RunFolder
from stsflow.tasks.recipe.sections import PushConfig, ReleaseConfig, RunConfig
from stsflow.tasks.records.evaluation import Difference, EvaluationReport
from stsflow.tasks.records.looks import Account, ErrorBudget
from stsflow.tasks.records.release import Basis, HubPush, Release
from stsflow.tasks.release.accounts import account_before
from stsflow.tasks.release.hub_repository import require_push
from stsflow.tasks.release.promotion import decide_on
from stsflow.tasks.release.push import push
from stsflow.tasks.release.shipment import shipment_of
from stsflow.tasks.release.steps import Steps
from stsflow.tasks.release.trail import CHAMPION
from stsflow.tasks.rules import Rule
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.entries import hub_tags
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.registry import RegisteredModel
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store

logger = logging.getLogger(__name__)


@task(name="fetch champion", task_run_name="fetch champion of {name}")
def fetch_champion(store: Store, name: str) -> RegisteredModel | None:
    """The current champion on the local disk, or None when there is none yet."""
    return store.registry.at(name, CHAMPION)


@task(name="decide on promotion", task_run_name="decide on {name}")
def decide_on_promotion(
    store: Store, name: str, basis: Basis, rules: Sequence[Rule], guards: Sequence[Rule], candidacy: Candidacy,
    budget: ErrorBudget | None = None,
) -> Release:  # fmt: skip
    """The decision, and a table of the rules and guards in Prefect. Nothing is moved."""
    decision = decide_on(store.registry, name, basis, rules, candidacy, guards, budget)
    if decision.outcomes:
        rows = [{"rule": o.rule, "holds": "yes" if o.holds else "no", "reason": o.reason} for o in decision.outcomes]
        publish_artifact(
            create_table_artifact, key="promotion", table=rows, description=f"{name}: {decision.reason}",
        )  # fmt: skip
    return decision


@task(name="register", task_run_name="register as {steps.name}", cache_policy=NO_CACHE)
def register(steps: Steps, decision: Release, model: Model) -> Release:
    """The decision with the version's number."""
    return Steps.registered(steps, decision, model)


@task(name="move aliases", task_run_name="move aliases of {steps.name}", cache_policy=NO_CACHE)
def move_aliases(steps: Steps, decision: Release) -> Release:
    """The release with the aliases moved as it was decided."""
    return Steps.settled(steps, decision)


@task(name="read the ledger of looks", cache_policy=NO_CACHE)
def account_for_the_card(
    relay: Relay, folder: RunFolder, recipe: RunConfig, report: EvaluationReport, differences: Sequence[Difference]
) -> Account | None:
    """What is left of the error budget of the headline's rows; None where there is none, or its ledger is damaged.

    It is kept in the run's folder: a run that goes on after its decision writes the same card.
    """
    if (kept := Account.load_or_none(folder.account)) is not None:
        return kept
    try:
        found = account_before(relay.store.registry, recipe, report, differences, ask=relay.flush())
    except PreconditionError as unreadable:
        logger.warning("the card says nothing of the error budget: %s", unreadable.message)
        return None
    if found is not None:
        found.write(folder.account)
    return found


class TrackedSteps(Steps):
    """The steps as Prefect shows them."""

    def registered(self, decision: Release, model: Model) -> Release:
        """See Steps."""
        return register(self, decision, model)

    def settled(self, decision: Release) -> Release:
        """See Steps."""
        return move_aliases(self, decision)


@task(name="check the hub", task_run_name="check the hub")
def check_hub(release: ReleaseConfig) -> None:
    """Make sure that a push which the recipe asks for will be let in; raises PreconditionError that says why not."""
    require_push(release)


@task(name="push to the hub", task_run_name="push {name} to {config.repo}", cache_policy=NO_CACHE)
def push_to_hub(store: Store, name: str, config: PushConfig) -> HubPush:
    """Push the champion of the registered model to the hub; what was done stands in tags of its version.

    Raises PreconditionError when there is no champion, the repository is not ours or the token may not write,
    DownloadFailed when the hub stays away.
    """
    shipment = shipment_of(store.registry, name)
    pushed = push(shipment, config)
    for tag, value in hub_tags(pushed).items():
        store.registry.tag_version(name, shipment.version, tag, value)
    logger.info("%s", pushed.sentence)
    publish_artifact(
        create_link_artifact, key="hub", link=pushed.pull_request or pushed.url, link_text=pushed.repo,
        description=pushed.sentence,
    )  # fmt: skip
    return pushed
