"""What happens to a run's model: decided on, registered, promoted. The order is `tasks/release/steps.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stsflow.flows.ops.champion_event import announce_champion, announce_question
from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest
from stsflow.tasks.evaluation.task import evaluate
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport, SeedSummary
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.release import Basis, GatedExport, Release
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.release.approval import hours_of, note_overdue
from stsflow.tasks.release.decision import compared_metrics
from stsflow.tasks.release.looks import chosen_among
from stsflow.tasks.release.promotion import basis_of
from stsflow.tasks.release.steps import carry_out, record
from stsflow.tasks.release.task import TrackedSteps, decide_on_promotion, fetch_champion
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store


def release_model(
    recipe: RunConfig, run: RunRef, relay: Relay, data: PreparedData, reports: list[EvaluationReport], model: Model,
    workspace: Workspace, exports: Sequence[GatedExport] = (),
) -> Release:  # fmt: skip
    """What happens to the tuned model: registered where the recipe names a model, promoted where the rules say so."""
    name = recipe.release.register_as
    if name is None:
        result = Release(
            exports=tuple(exports), reason="not registered: the recipe names no registered model (release.register_as)"
        )
    else:
        evidence = Evidence(relay.store, name, recipe, data, reports, run.folder, workspace)
        note_overdue(relay.store.registry)
        hours = hours_of(recipe.release.approval)
        steps = TrackedSteps(relay, RunFolder(run.folder), run.name, name, hours)
        result = carry_out(steps, evidence.basis, evidence.decide, exports, model)
        result = result.model_copy(update={"how": how_registered(relay.store, result, run.mlflow_run_id)})
    record(relay, run.folder, result)
    announce(result)
    return result


def gated(exports: Exports | None) -> tuple[GatedExport, ...]:
    """What the gate said of each export, as far as the release needs it."""
    return tuple(
        GatedExport(
            name=item.name, path=f"exports/{item.name}", digest=item.digest, passed=item.passed,
            reason="; ".join(item.reasons) or "within its limits",
        )
        for item in (exports.items if exports else ())
    )  # fmt: skip


def announce(release: Release, why: str = "") -> None:
    """Tell Prefect about a new champion, and `why` where a person said so, or about a version that waits for a yes."""
    name, version = str(release.registered_as), str(release.version)
    if release.promoted:
        announce_champion(name, version, release.previous, why or release.decision)
    elif release.approval is not None and release.approval.state == "waiting":
        announce_question(name, version, release.approval.until, release.approval.reason)


class Evidence:
    """What a candidate is decided on: its run's measurements, and the champion measured as it was."""

    def __init__(
        self, store: Store, name: str, recipe: RunConfig, data: PreparedData, reports: list[EvaluationReport],
        folder: Path, workspace: Workspace,
    ) -> None:  # fmt: skip
        self.store, self.name, self.recipe, self.data = store, name, recipe, data
        self.base, self.candidate = reports
        self.folder, self.workspace = folder, workspace

    def basis(self) -> Basis:
        """What a decision would stand on now."""
        guards = list(self.recipe.guards.values())
        return basis_of(self.store.registry, self.name, self.candidate, self.recipe.release.rules, guards)

    def decide(self, basis: Basis) -> Release:
        """The decision of the recipe's rules and guards."""
        recipe, metrics = self.recipe, compared_metrics(self.recipe.release.rules)
        against = [self.base]
        champion = fetch_champion(self.store, self.name)
        if champion is not None:
            against += evaluate(
                "champion", [ModelUnderTest("champion", champion.path, champion.digest)], recipe.evaluation, self.data,
                self.folder / "evaluation", recipe.prompts.suites, self.workspace, device=recipe.training.device,
            )  # fmt: skip
        differences = [
            difference
            for other in against
            for difference in compare(other, self.candidate, recipe.evaluation, metrics=metrics,
                                      workspace=self.workspace)
        ]  # fmt: skip
        seeds = SeedSummary.load_or_none(RunFolder(self.folder).seeds)
        sweep = SweepSummary.load_or_none(RunFolder(self.folder).sweep)
        candidacy = Candidacy(
            candidate=self.candidate, base=self.base, champion=against[1] if champion else None,
            differences=tuple(differences), recipe_claims=seeds.claims if seeds else (),
            headline=recipe.headline_suite, chose_checkpoint=recipe.choosing_suite,
            overlaps=self.data.overlaps, best_of=chosen_among(seeds, sweep, self.candidate),
        )  # fmt: skip
        guards = list(recipe.guards.values())
        budget = None if recipe.release.error_budget == "off" else recipe.release.error_budget
        return decide_on_promotion(self.store, self.name, basis, recipe.release.rules, guards, candidacy, budget)


def how_registered(store: Store, release: Release, run_id: str) -> str:
    """How the version came about; empty where there is none."""
    if release.version is None:
        return ""
    made_here = store.registry.model_version(str(release.registered_as), release.version).run_id == run_id
    return "registered" if made_here else "the weights were registered before"
