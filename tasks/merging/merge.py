"""Average the tuned model with its base, measure every weight, and keep the one that is chosen."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.guard import guard_outcomes
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models, scores_fingerprint
from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.files import link_or_copy
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_model, sha256_of_weights
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.merging.choose import chosen_weight
from stsflow.tasks.merging.worker import MergeSpec
from stsflow.tasks.models.hardware import Device, choose_device
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.sections import EvaluationConfig, MergeConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.merging import Merge, MergedModel, MergedSeed, MergePoint
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.training import TrainedModel

logger = logging.getLogger(__name__)

WORKER = "stsflow.tasks.merging.worker"


def merge_models(
    recipe: RunConfig, config: MergeConfig, base: BaseModelRef, trained: Mapping[int, TrainedModel],
    data: PreparedData, workspace: Workspace, fresh: bool = False,
) -> MergedModel:  # fmt: skip
    """The model of the chosen weight with the whole curve, found again by content or made; `trained` by seed.

    Several trainings make one tuned model, their mean. Every weight, and each of several trainings, is scored on the
    suite that chooses and on the guards, by the code that scores base and tuned model. Needs room on the disk for a
    copy of the model for each weight while it works; one is kept. Raises ModelError when the models cannot be averaged.
    """
    suite, metric = recipe.merging_choice
    suites = {name: recipe.evaluation.suites[name] for name in dict.fromkeys((suite, *recipe.evaluation.guard))}
    metrics = {name: metric if name == suite else one.primary for name, one in suites.items()}
    evaluation = recipe.evaluation.model_copy(update={"suites": suites})
    weights = sorted({0.0, *config.weights, 1.0})
    start = ModelUnderTest("base", base.path, base.digest, base)
    tuned = [ModelUnderTest(f"seed-{seed}", one.model, one.model_digest) for seed, one in trained.items()]
    device = cast("Device", choose_device(recipe.training.device).chosen)
    scored = [
        scores_fingerprint(model, name, evaluation, data.evaluation, device, recipe.prompts.suites.get(name))
        for model in (start, *tuned)
        for name in suites
    ]
    key = fingerprint(
        scored, weights, metrics, recipe.evaluation.model_dump(include={"guard"}, mode="json"), recipe.training.seed,
        code_of(WORKER, __name__),
    )  # fmt: skip

    def make(folder: Path) -> MergedModel:
        with tempfile.TemporaryDirectory(prefix=".merging.", dir=folder.parent) as scratch:
            ends = {0.0: start} | ({1.0: tuned[0]} if len(tuned) == 1 else {})
            models = _averaged(ends, tuned, weights, base, recipe.training.seed, Path(scratch))
            singly = {seed: one for seed, one in zip(trained, tuned, strict=True) if len(tuned) > 1}
            reports = evaluate_models(
                [*models.values(), *singly.values()], evaluation, data, Path(scratch) / "scores",
                prompts=recipe.prompts.suites, device=recipe.training.device, workspace=None if fresh else workspace,
            )  # fmt: skip
            measured = dict(zip(weights, reports, strict=False))
            points = _points(recipe, evaluation, measured, metrics, None if fresh else workspace)
            chosen = chosen_weight(points, suite, suites[suite].metric(metric).gain)
            link_or_copy(models[chosen].path, folder / "model")
        seeds = tuple(
            MergedSeed(
                seed=seed, model_digest=report.model_digest, scores=_scores(report, metrics),
                train_seconds=trained[seed].train_seconds,
            )
            for seed, report in zip(singly, reports[len(weights):], strict=True)
        )  # fmt: skip
        merge = Merge(suite=suite, metrics=metrics, points=points, chosen=chosen, seeds=seeds)
        return MergedModel(merge=merge, model=folder / "model", weights_sha256=sha256_of_weights(folder / "model"))

    found = find_or_make(workspace, "merged", key, MergedModel, make, what="the merged model", fresh=fresh)
    logger.info("merged: %s", in_words(found.merge))
    return found


def in_words(merge: Merge) -> str:
    """What was chosen, and of which curve."""
    curve = ", ".join(
        f"{point.weight:g}: {point.scores[merge.suite]:.4f}{'' if point.keeps_guards else ' (guard lost)'}"
        for point in merge.points
    )
    kept = "" if merge.point.keeps_guards else ", as no weight keeps every guard"
    return (
        f"{merge.chosen:g} of the tuned model{kept}; {merge.metrics[merge.suite]} on {merge.suite} by weight: {curve}"
    )


def _scores(report: EvaluationReport, metrics: Mapping[str, str]) -> dict[str, float]:
    return {name: report.suites[name].metrics[metric] for name, metric in metrics.items()}


def _averaged(
    ends: Mapping[float, ModelUnderTest], tuned: Sequence[ModelUnderTest], weights: Sequence[float],
    base: BaseModelRef, seed: int, scratch: Path,
) -> dict[float, ModelUnderTest]:  # fmt: skip
    """The model of each weight; those that `ends` lacks are made below `scratch` in a child."""
    targets = {weight: scratch / f"weight-{weight:g}" for weight in weights if weight not in ends}
    if targets:
        for target in targets.values():
            target.mkdir()
        spec = MergeSpec(base=base, tuned=tuple(one.path for one in tuned), seed=seed, targets=targets).write(
            scratch / "spec.json"
        )
        log = scratch / "worker.log"
        ended = run_child(python_module(WORKER, str(spec)), log, environment=process_environment())
        if ended.code == ModelError.exit_code:
            raise ModelError(f"release.merge: {last_lines(log, 1)}")
        if ended.code != 0:
            raise RuntimeError(f"averaging the models ended with code {ended.code}:\n{last_lines(log)}")
    made = {weight: ModelUnderTest(path.name, path, sha256_of_model(path)) for weight, path in targets.items()}
    return {weight: ends.get(weight) or made[weight] for weight in weights}


def _points(
    recipe: RunConfig, evaluation: EvaluationConfig, measured: Mapping[float, EvaluationReport],
    metrics: Mapping[str, str], workspace: Workspace | None,
) -> tuple[MergePoint, ...]:  # fmt: skip
    base = measured[0.0]
    return tuple(
        MergePoint(
            weight=weight,
            model_digest=report.model_digest,
            scores=_scores(report, metrics),
            guards=guard_outcomes(recipe, base, report, compare(base, report, evaluation, workspace=workspace))
            if weight
            else {},
        )
        for weight, report in measured.items()
    )
