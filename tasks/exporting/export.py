"""Make every export of a recipe, measure it, and say which are released: what a flow calls. Children do the work."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest, scores_fingerprint
from stsflow.tasks.exporting.gate import why_not_released
from stsflow.tasks.exporting.making import versions_of_exports
from stsflow.tasks.exporting.measure import MeasuringSpec
from stsflow.tasks.exporting.measuring_worker import MeasuredSpec
from stsflow.tasks.exporting.reference_worker import ModelSpeed, ReferenceSpec
from stsflow.tasks.exporting.worker import Made, MakingSpec
from stsflow.tasks.exports import Export
from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.errors import ExportFailed, Refused
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_folder
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.models.preflight import sample_texts
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import EvaluationConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.exports import ExportFigures, ExportOutcome, Exports, Speed
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import Prompts
from stsflow.tasks.records.training import TrainedModel

logger = logging.getLogger(__name__)

WORKER = "stsflow.tasks.exporting.worker"
REFERENCE = "stsflow.tasks.exporting.reference_worker"
MEASURING = "stsflow.tasks.exporting.measuring_worker"


class MadeExport(Record):
    """A made folder."""

    folder: Path
    digest: str
    dimension: int


class Reference(Record):
    """The sample of texts and what the tuned model makes of them."""

    texts: Path
    embeddings: Path
    speed: tuple[Speed, ...]
    count: int


@dataclass(frozen=True)
class _Exporting:
    """What all exports of a run share."""

    recipe: RunConfig
    base: BaseModelRef
    trained: TrainedModel
    data: PreparedData
    tuned: EvaluationReport
    workspace: Workspace
    fresh: bool

    def _training_texts(self) -> tuple[str, ...]:
        """Texts to calibrate on: none of an evaluation set."""
        training = self.data.model_copy(update={"evaluation": ()})
        return sample_texts(training, column_prompts(self.recipe, self.base))

    @property
    def evaluation(self) -> EvaluationConfig:
        """With the suites alone that are scored from embeddings of prepared rows."""
        every = self.recipe.evaluation.suites
        kept = {name: suite for name, suite in every.items() if suite.scores_embeddings}
        return self.recipe.evaluation.model_copy(update={"suites": kept})

    def made(self, export: Export) -> MadeExport:
        """The folder, found again by content or made; that of another export first, where it is made from one."""
        source = self.made(export.made_from) if export.made_from is not None else None
        texts = self._training_texts() if export.calibrates else ()
        key = fingerprint(
            self.trained.model_digest, export.what_it_is, source and source.digest, texts,
            code_of(WORKER, type(export).__module__), versions_of_exports(),
        )  # fmt: skip

        def make(folder: Path) -> MadeExport:
            target, result = folder / "export", folder / "made.json"
            target.mkdir()
            spec = MakingSpec(
                export=export, model=self.trained.model, model_digest=self.trained.model_digest,
                weights_sha256=self.trained.weights_sha256, similarity=self.trained.similarity, folder=target,
                source=source and source.folder, texts=texts, result=result,
            )  # fmt: skip
            _work(WORKER, spec, folder, self.workspace.made("exports", key).with_suffix(".log"), "making it")
            dimension = Made.load(result).dimension
            return MadeExport(folder=target, digest=sha256_of_folder(target), dimension=dimension)

        return find_or_make(
            self.workspace, "exports", key, MadeExport, make, what=f"the export {export.kind}", fresh=self.fresh
        )

    def reference(self) -> Reference:
        """The sample of the run's texts with the tuned model's embeddings."""
        texts = sample_texts(self.data, column_prompts(self.recipe, self.base))
        key = fingerprint(self.trained.model_digest, texts, code_of(REFERENCE), versions_of_exports())

        def make(folder: Path) -> Reference:
            file = folder / "texts.json"
            file.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
            embeddings, result = folder / "embeddings.npy", folder / "speed.json"
            spec = ReferenceSpec(model=self.trained.model, texts=file, embeddings=embeddings, result=result)
            log = self.workspace.made("exports", key).with_suffix(".log")
            _work(REFERENCE, spec, folder, log, "embedding the sample of texts with the tuned model")
            speed = ModelSpeed.load(result).speed
            return Reference(texts=file, embeddings=embeddings, speed=speed, count=len(texts))

        return find_or_make(
            self.workspace, "exports", key, Reference, make, what="the sample's embeddings", fresh=self.fresh
        )

    def measured(self, name: str, export: Export, made: MadeExport, reference: Reference) -> ExportFigures:
        """What it costs, found again by content or measured."""
        evaluation, prompts = self.evaluation, self.recipe.prompts.suites
        model = ModelUnderTest(name, made.folder, made.digest)
        scored = [
            scores_fingerprint(model, suite, evaluation, self.data.evaluation, "cpu", prompts.get(suite))
            for suite in evaluation.suites
        ]
        kind = type(export).__module__
        key = fingerprint(
            reference.embeddings.parent.name, made.digest, export.what_it_is, scored, code_of(MEASURING, kind),
            versions_of_exports(),
        )  # fmt: skip

        def make(folder: Path) -> ExportFigures:
            target, result, own = folder / "scores", folder / "figures.json", ModelFolder.open(self.trained.model)
            target.mkdir()
            measuring = MeasuringSpec(
                name=name, digest=made.digest, folder=made.folder, target=target, texts=reference.texts,
                reference=reference.embeddings, dimensions=export.dimensions, near=export.is_near_the_model,
                config=evaluation, data=tuple(one for one in self.data.evaluation if one.name in evaluation.suites),
                suite_prompts=prompts, max_seq_length=own.own_max_seq_length,
                prompts=own.own_prompts() if export.takes_prompts else Prompts(), similarity=self.trained.similarity,
            )  # fmt: skip
            spec = MeasuredSpec(export=export, measuring=measuring, result=result)
            log = self.workspace.made("exports", key).with_suffix(".log")
            _work(MEASURING, spec, folder, log, "measuring it")
            return ExportFigures.load(result)

        found = find_or_make(
            self.workspace, "exports", key, ExportFigures, make, what=f"the figures of {name}", fresh=self.fresh
        )
        return found.model_copy(update={"scores": found.scores.model_copy(update={"model": name})})


def export_all(
    recipe: RunConfig, base: BaseModelRef, trained: TrainedModel, data: PreparedData, tuned: EvaluationReport,
    workspace: Workspace, *, fresh: bool = False,
) -> Exports:  # fmt: skip
    """Every export of the recipe with what it costs and whether it is released; `tuned` are the model's own scores.

    One that cannot be made or measured is not released, and says why; the others go on. Raises ExportFailed when the
    tuned model itself cannot be measured.
    """
    exporting = _Exporting(recipe, base, trained, data, tuned, workspace, fresh)
    reference = exporting.reference()
    items = tuple(_outcome(exporting, name, export, reference) for name, export in recipe.release.exports.items())
    for item in items:
        logger.info("export %s: %s", item.name, in_words(item))
    return Exports(
        model_digest=trained.model_digest, model_bytes=tuned.model_bytes, speed=reference.speed,
        texts=reference.count, items=items,
    )  # fmt: skip


def in_words(item: ExportOutcome) -> str:
    """`released: …` with its figures, or `not released: …` with the reasons."""
    if not item.passed:
        return f"not released: {'; '.join(item.reasons)}"
    assert item.figures is not None  # what passed was measured
    size = f"{item.figures.size_bytes / 2**20:.1f} MiB"
    changes = ", ".join(f"{one.suite} {one.metric} {one.difference:+.4f}" for one in item.differences)
    far = item.figures.max_distance
    distance = "" if far is None else f"largest distance {far:.2g}, "
    return f"released: {distance}{changes}, {size}"


def _outcome(exporting: _Exporting, name: str, export: Export, reference: Reference) -> ExportOutcome:
    logger.info("exporting %s (%s)", name, export.kind)
    outcome = ExportOutcome(
        name=name, kind=export.kind, main_file=export.main_file, passed=False, limits=export.limits_in_force
    )
    try:
        made = exporting.made(export)
        there = outcome.model_copy(
            update={
                "folder": made.folder, "digest": made.digest, "dimension": made.dimension,
                "snippet": export.snippet(f'"exports/{name}"', made.dimension),
            }
        )  # fmt: skip
        outcome = there
        figures = exporting.measured(name, export, made, reference)
    except ExportFailed as error:
        return outcome.model_copy(update={"reasons": (error.message,)})
    workspace = None if exporting.fresh else exporting.workspace
    differences = compare(exporting.tuned, figures.scores, exporting.evaluation, workspace=workspace)
    reasons = why_not_released(outcome.limits, figures, differences)
    return outcome.model_copy(
        update={"figures": figures, "differences": differences, "reasons": reasons, "passed": not reasons}
    )


def _work(worker: str, spec: Record, folder: Path, log: Path, what: str) -> None:
    """Let a child do it; raises ExportFailed with a sentence when it does not end well."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    written = spec.write(folder / "spec.json")
    ended = run_child(python_module(worker, str(written)), log, environment=process_environment())
    written.unlink()  # it names folders that are gone when this one is put in place
    if ended.code == Refused.exit_code:
        raise ExportFailed(f"{what} was refused: {last_lines(log, 1)}")
    if ended.code != 0:
        raise ExportFailed(f"{what} ended with code {ended.code}: {last_lines(log, 1)} (its log is {log})")
