"""Registration and promotion of a run's model, and `stsflow promote`."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import flow
from rich.console import Console

from flows.notify import announce_champion
from tasks.config import RunConfig
from tasks.errors import PreconditionError
from tasks.evaluation.compare import compare
from tasks.evaluation.run import ModelUnderTest
from tasks.evaluation.task import evaluate
from tasks.names import MODEL
from tasks.records import EvaluationReport, PreparedData, Release, RunRef
from tasks.release.decision import compared_metrics
from tasks.release.evidence import Evidence
from tasks.release.promotion import CANDIDATE, go_back
from tasks.release.task import decide_and_promote, fetch_champion
from tasks.tracking import runs
from tasks.tracking.entries import release as release_entries
from tasks.tracking.journal import Artifacts
from tasks.tracking.relay import Relay
from tasks.tracking.store import Store
from tasks.tracking.task import connect_tracking
from tasks.workspace import RunFolder, Workspace

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0


def release_model(
    recipe: RunConfig,
    run: RunRef,
    relay: Relay,
    data: PreparedData,
    reports: list[EvaluationReport],
    workspace: Workspace,
) -> Release:
    """What happens to the tuned model: registered where the recipe names a model, promoted where the rules say so."""
    result = _release(recipe, run, relay, data, reports, workspace)
    result.write(run.folder / "release" / "decision.json")
    for entry in [*release_entries(result), Artifacts(path="release", folder="release")]:
        relay.journal.append_once(entry)
    if result.promoted:
        announce_champion(str(result.registered_as), str(result.version), result.previous, result.reason)
    return result


def _release(
    recipe: RunConfig,
    run: RunRef,
    relay: Relay,
    data: PreparedData,
    reports: list[EvaluationReport],
    workspace: Workspace,
) -> Release:
    name = recipe.release.register_as
    if name is None:
        return Release(reason="not registered: the recipe names no registered model (release.register_as)")
    if not relay.finish(patience_seconds=PATIENCE_SECONDS):
        later = f"when it is back: stsflow sync {run.name}, then stsflow promote {name}"
        return Release(registered_as=name, reason=f"not registered: MLflow is away ({relay.last_error}); {later}")
    version = relay.store.version_of_run(name, run.mlflow_run_id)
    if version is None:
        raise PreconditionError(f"MLflow at {relay.store.shown_uri} holds no version of {name!r} made by {run.name}")
    return _decide(relay.store, name, version, recipe, data, reports, run.folder, workspace)


def _decide(
    store: Store, name: str, version: str, recipe: RunConfig, data: PreparedData, reports: list[EvaluationReport],
    folder: Path, workspace: Workspace,
) -> Release:  # fmt: skip
    base, candidate = reports
    metrics = compared_metrics(recipe.release.rules)
    differences = list(compare(base, candidate, recipe.evaluation, metrics=metrics, workspace=workspace))
    champion_report = None
    champion = fetch_champion(store, name, workspace)
    if champion is not None:
        model = ModelUnderTest("champion", champion.path, champion.digest)
        (champion_report,) = evaluate("champion", [model], recipe.evaluation, data, folder / "evaluation", workspace)
        differences += compare(champion_report, candidate, recipe.evaluation, metrics=metrics, workspace=workspace)
    evidence = Evidence(
        candidate=candidate, base=base, champion=champion_report, differences=tuple(differences),
        headline=recipe.headline_suite, chose_checkpoint=recipe.choosing_suite, overlaps=data.overlaps,
    )  # fmt: skip
    return decide_and_promote(store, name, version, recipe.release.rules, evidence)


@flow(name="promote", flow_run_name="promote-{name}")
def promote_candidate(name: str, reason: str = "") -> Release:
    """Decide on the registered model's candidate by the rules of the recipe that made it.

    Needs the candidate's run in this workspace (its scores and its data); raises PreconditionError otherwise.
    """
    MODEL.check("promote", name)
    workspace = Workspace.here()
    store = connect_tracking(workspace)
    candidate = store.alias(name, CANDIDATE)
    if candidate is None:
        raise PreconditionError(f"the registered model {name!r} has no candidate in {store.shown_uri}")
    found = next((f for f, state in runs.known_runs(workspace) if state.mlflow_run_id == candidate.run_id), None)
    if found is None:
        raise PreconditionError(
            f"the candidate of {name!r}, version {candidate.version}, was made by MLflow run {candidate.run_id}, which "
            f"is not in {workspace.root}; decide in the workspace that made it"
        )
    recipe, data, reports = _evidence_on_disk(found)
    result = _decide(store, name, str(candidate.version), recipe, data, reports, found.root, workspace)
    result.write(found.root / "release" / "decision.json")
    if result.promoted:
        announce_champion(name, str(result.version), result.previous, reason or result.reason)
    return result


def roll_back(name: str, reason: str = "") -> Release:
    """Make the previous champion champion again; raises PreconditionError when there is none."""
    MODEL.check("promote", name)
    store = connect_tracking.fn(Workspace.here())
    old, new = go_back(store, name, reason or "asked for on the command line")
    announce_champion(name, new, old, reason or f"rolled back from version {old}")
    return Release(
        registered_as=name,
        version=new,
        promoted=True,
        reason=f"{name}: version {new} is champion again, was version {old}",
    )


def print_promotion(result: Release, console: Console) -> None:
    """The decision for a person."""
    for outcome in result.outcomes:
        console.print(f"  {'yes' if outcome.holds else 'no ':<4} {outcome.rule}: {outcome.reason}")
    console.print(result.reason)


def _evidence_on_disk(folder: RunFolder) -> tuple[RunConfig, PreparedData, list[EvaluationReport]]:
    recipe = RunConfig.from_recipe(folder.recipe)
    data = PreparedData.load(folder.data / "prepared.json")
    reports = [EvaluationReport.load(folder.evaluation / model / "report.json") for model in ("base", "tuned")]
    return recipe, data, reports
