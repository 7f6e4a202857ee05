"""`stsflow promote`: deciding on a candidate again, and what a person decides."""

from __future__ import annotations

from contextlib import suppress
from shlex import quote

from prefect import flow
from rich.console import Console

from stsflow.flows.approval import answer, tell_prefect, write_down
from stsflow.flows.ops.champion_event import announce_champion
from stsflow.flows.push import ask_to_push, still_on_the_hub, with_push
from stsflow.flows.release import Evidence, announce
from stsflow.tasks.ground.environment import user_name
from stsflow.tasks.ground.errors import DamagedRecord, PreconditionError
from stsflow.tasks.ground.names import MODEL
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.release import Release
from stsflow.tasks.release.answers import waiting_version
from stsflow.tasks.release.approval import approval_of, hours_of
from stsflow.tasks.release.promotion import go_back, readmit, reject, settle
from stsflow.tasks.release.trail import CANDIDATE
from stsflow.tasks.tracking import runs
from stsflow.tasks.tracking.task import connect_tracking

BY_HAND = "asked for on the command line"


@flow(name="promote", flow_run_name="promote-{name}")
def promote_candidate(name: str, reason: str = "") -> Release:
    """Decide on the registered model's candidate by the rules of the recipe that made it.

    Needs the candidate's run in this workspace (its scores and its data); raises PreconditionError otherwise.
    """
    MODEL.check("promote", name)
    workspace = Workspace.here()
    store = connect_tracking(workspace)
    candidate = store.registry.alias(name, CANDIDATE)
    if candidate is None:
        raise PreconditionError(f"the registered model {name!r} has no candidate in {store.shown_uri}")
    found = _run_with_the_weights(workspace, candidate.run_id, store.registry.weights_of(name, str(candidate.version)))
    if found is None:
        raise PreconditionError(
            f"the candidate of {name!r}, version {candidate.version}, was made by MLflow run {candidate.run_id}; "
            f"neither that run nor another one with the same weights is in {workspace.root}; decide in the workspace "
            "that made it"
        )
    recipe, data, reports = _evidence_on_disk(found)
    evidence = Evidence(store, name, recipe, data, reports, found.root, workspace)
    decision = evidence.decide(evidence.basis())
    result = settle(store.registry, name, str(candidate.version), decision, hours_of(recipe.release.approval))
    write_down(store, candidate.run_id, result)
    announce(result, reason)
    ask_to_push(recipe.release, store, result)
    return with_push(store, result)


def answer_for(name: str, approved: bool, who: str, why: str) -> Release:
    """A person's answer on the candidate that waits; a flow run that waits for it in Prefect goes on.

    Raises PreconditionError where nothing waits (any more), or where it has to be decided anew.
    """
    MODEL.check("promote", name)
    store = connect_tracking.fn(Workspace.here())
    version = waiting_version(store.registry, name)
    result = answer(store, name, version, approved, who or user_name(), why)
    tell_prefect(result.approval)
    # A flow run that waits for the answer goes on by itself, and pushes then.
    return result if result.approval and result.approval.flow_run_id else with_push(store, result)


def show_waiting(name: str, console: Console) -> None:
    """Print what a person decides on, where the candidate waits for a yes."""
    store = connect_tracking.fn(Workspace.here())
    candidate = store.registry.alias(name, CANDIDATE)
    approval = approval_of(store.registry, name, str(candidate.version)) if candidate is not None else None
    if candidate is not None and approval is not None:
        console.print(f"{name} version {candidate.version}: {approval.in_words()}", soft_wrap=True, highlight=False)
        console.print(f"the rules: {approval.reason}", soft_wrap=True, highlight=False)


def roll_back(name: str, reason: str = "") -> Release:
    """Make the previous champion champion again and turn the present one's weights down.

    Raises PreconditionError when there is no previous champion.
    """
    MODEL.check("promote", name)
    store = connect_tracking.fn(Workspace.here())
    old, new = go_back(store.registry, name, reason or BY_HAND)
    announce_champion(name, new, old, reason or f"rolled back from version {old}")
    on_the_hub = still_on_the_hub(store, name, old)
    return Release(
        registered_as=name,
        version=new,
        promoted=True,
        reason=(
            f"{name}: version {new} is champion again, was version {old}; "
            f"no run makes the weights of version {old} champion until they are let in: {_let_in(name, old)}"
            f"{on_the_hub}"
        ),
    )


def reject_candidate(name: str, reason: str = "") -> Release:
    """Turn the candidate's weights down; raises PreconditionError when there is none, or when it is the champion."""
    MODEL.check("promote", name)
    store = connect_tracking.fn(Workspace.here())
    version = reject(store.registry, name, reason or BY_HAND)
    return Release(
        registered_as=name,
        version=version,
        reason=(
            f"{name}: version {version} is rejected; no run makes its weights champion until they are let in: "
            f"{_let_in(name, version)}"
        ),
    )


def let_in_again(name: str, which: str, reason: str = "") -> Release:
    """Let weights in that were turned down; `which` is a version or a digest of them. They are the candidate then.

    Raises PreconditionError when it names nothing that was turned down.
    """
    MODEL.check("promote", name)
    store = connect_tracking.fn(Workspace.here())
    version = readmit(store.registry, name, which, reason or BY_HAND)
    return Release(
        registered_as=name,
        version=version,
        reason=f"{name}: version {version} is let in and the candidate; decide with: stsflow promote {quote(name)}",
    )


def _let_in(name: str, version: str) -> str:
    return f"stsflow promote {quote(name)} --readmit {version}"


def print_promotion(result: Release, console: Console) -> None:
    """The decision for a person."""
    for outcome in result.outcomes:
        console.print(f"  {'yes' if outcome.holds else 'no ':<4} {outcome.rule}: {outcome.reason}")
    console.print(result.sentence)


def _run_with_the_weights(workspace: Workspace, run_id: str, weights: str | None) -> RunFolder | None:
    """The run that made the version, else the newest of the workspace that made the very same weights."""
    found = None
    for folder, state in runs.known_runs(workspace):
        if state.mlflow_run_id == run_id:
            return folder
        with suppress(DamagedRecord):  # no report yet, or one of another release
            if EvaluationReport.load(folder.report("tuned")).model_digest == weights:
                found = folder
    return found


def _evidence_on_disk(folder: RunFolder) -> tuple[RunConfig, PreparedData, list[EvaluationReport]]:
    recipe = RunConfig.from_recipe(folder.recipe)
    try:
        data = PreparedData.load(folder.prepared)
        reports = [EvaluationReport.load(folder.report(model)) for model in ("base", "tuned")]
    except DamagedRecord as error:
        raise PreconditionError(f"{error.message}; run its recipe again: what was made is reused") from error
    return recipe, data, reports
