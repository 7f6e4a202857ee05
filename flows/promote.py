"""Registration and promotion of a run's model, and `stsflow promote`."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from shlex import quote

from prefect import flow
from rich.console import Console

from stsflow.flows.ops.champion_event import announce_champion
from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest
from stsflow.tasks.evaluation.task import evaluate
from stsflow.tasks.ground.errors import DamagedRecord, PreconditionError
from stsflow.tasks.ground.names import MODEL
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport, SeedSummary
from stsflow.tasks.records.release import Release
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.release.decision import compared_metrics
from stsflow.tasks.release.promotion import go_back, readmit, reject
from stsflow.tasks.release.task import decide_and_promote, fetch_champion
from stsflow.tasks.release.trail import CANDIDATE
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking import runs
from stsflow.tasks.tracking.entries import release as release_entries
from stsflow.tasks.tracking.journal import Artifacts
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.task import connect_tracking

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
BY_HAND = "asked for on the command line"


def release_model(
    recipe: RunConfig, run: RunRef, relay: Relay, data: PreparedData, reports: list[EvaluationReport],
    workspace: Workspace,
) -> Release:  # fmt: skip
    """What happens to the tuned model: registered where the recipe names a model, promoted where the rules say so."""
    name = recipe.release.register_as
    version, why_not = _registered_version(name, run, relay, reports[1].model_digest)
    if name is None or version is None:
        result = Release(registered_as=name, reason=f"not registered: {why_not}")
    else:
        result = _decide(relay.store, name, version, run.mlflow_run_id, recipe, data, reports, run.folder, workspace)
    result.write(run.folder / "release" / "decision.json")
    for entry in [*release_entries(result), Artifacts(path="release", folder="release")]:
        relay.journal.append_once(entry)
    if result.promoted:
        announce_champion(str(result.registered_as), str(result.version), result.previous, result.reason)
    return result


def _registered_version(name: str | None, run: RunRef, relay: Relay, digest: str) -> tuple[str | None, str]:
    """The version of `name` with the run's weights, or None and why there is none; sends what MLflow lacks first."""
    if name is None:
        return None, "the recipe names no registered model (release.register_as)"
    if not relay.finish(patience_seconds=PATIENCE_SECONDS) and not relay.refused:
        later = f"when it is back: stsflow sync {run.name}, then stsflow promote {quote(name)}"
        what = "refuses this user" if relay.no_access else "is away"
        return None, f"MLflow {what} ({relay.last_error}); {later}"
    version = relay.store.registry.version_with(name, digest)
    if version is None and relay.refused:
        return None, f"MLflow refuses ({'; '.join(relay.refused.values())})"
    if version is None:
        raise PreconditionError(
            f"MLflow at {relay.store.shown_uri} holds no version of {name!r} with the weights of {run.name}"
        )
    return version, ""


def _decide(
    store: Store, name: str, version: str, run_id: str, recipe: RunConfig, data: PreparedData,
    reports: list[EvaluationReport], folder: Path, workspace: Workspace,
) -> Release:  # fmt: skip
    base, candidate = reports
    metrics = compared_metrics(recipe.release.rules)
    differences = list(compare(base, candidate, recipe.evaluation, metrics=metrics, workspace=workspace))
    champion_report = None
    champion = fetch_champion(store, name)
    if champion is not None:
        model = ModelUnderTest("champion", champion.path, champion.digest)
        (champion_report,) = evaluate(
            "champion", [model], recipe.evaluation, data, folder / "evaluation", recipe.prompts.suites, workspace,
            device=recipe.training.device,
        )  # fmt: skip
        differences += compare(champion_report, candidate, recipe.evaluation, metrics=metrics, workspace=workspace)
    made_here = store.registry.model_version(name, version).run_id == run_id
    seeds = SeedSummary.load_or_none(RunFolder(folder).seeds)
    candidacy = Candidacy(
        candidate=candidate, base=base, champion=champion_report, differences=tuple(differences),
        recipe_claims=seeds.claims if seeds else (),
        headline=recipe.headline_suite, chose_checkpoint=recipe.choosing_suite, overlaps=data.overlaps,
    )  # fmt: skip
    how = "registered" if made_here else "the weights were registered before"
    guards = list(recipe.guards.values())
    return decide_and_promote(store, name, version, recipe.release.rules, guards, candidacy, how)


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
    result = _decide(
        store, name, str(candidate.version), candidate.run_id, recipe, data, reports, found.root, workspace
    )
    result.write(found.root / "release" / "decision.json")
    if result.promoted:
        announce_champion(name, str(result.version), result.previous, reason or result.reason)
    return result


def roll_back(name: str, reason: str = "") -> Release:
    """Make the previous champion champion again and turn the present one's weights down.

    Raises PreconditionError when there is no previous champion.
    """
    MODEL.check("promote", name)
    store = connect_tracking.fn(Workspace.here())
    old, new = go_back(store.registry, name, reason or BY_HAND)
    announce_champion(name, new, old, reason or f"rolled back from version {old}")
    return Release(
        registered_as=name,
        version=new,
        promoted=True,
        reason=(
            f"{name}: version {new} is champion again, was version {old}; "
            f"no run makes the weights of version {old} champion until they are let in: {_let_in(name, old)}"
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
    console.print(result.reason)


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
