"""Evaluation in a process of its own: `python -m stsflow.tasks.evaluation.worker SPEC` scores models, writes reports.

The flow's process stays free of torch, and the memory that models take goes back to the system when this process ends.
It imports neither Prefect nor MLflow. All models share the start-up and one pass over each data set.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.kinds import BiEncoder, ModelKind
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.evaluation import EvaluationReport, Latency, Reference
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import SuitePrompts

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.embedded import Embedder
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.models.kinds import Encoder

log = logging.getLogger("stsflow.evaluation")


class ModelSpec(Record):
    """One model to evaluate, and the folder that its files go to (it exists and is empty)."""

    name: str
    path: Path
    digest: str
    folder: Path
    base: BaseModelRef | None = None
    """Given for a base model: how the recipe wants it loaded."""
    suites: tuple[str, ...] | None = None
    """Suites to score this model on; None: all. The others were scored before."""


class EvaluationSpec(Record):
    """What the worker is asked to do."""

    models: tuple[ModelSpec, ...]
    config: EvaluationConfig
    """Its suites are those to score on."""
    data: tuple[PreparedSet, ...]
    """Prepared data of the suites."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the models run."""
    references: dict[str, Path] = {}
    """Folders, by suite, that what is scored without a model goes to."""
    prompts: dict[str, SuitePrompts] = {}
    """By suite, prompts that the recipe names for it."""

    def data_of(self, suite: str) -> PreparedSet | None:
        """The prepared data of a suite; None for one that brings its own."""
        return next((item for item in self.data if item.name == suite), None)


def report_file(folder: Path) -> Path:
    """Where the worker leaves the report of the model whose files are in `folder`."""
    return folder / "report.json"


def evaluate(spec: EvaluationSpec, model: ModelSpec) -> EvaluationReport:
    """Score one model on its suites; writes the suites' files and `report.json` into the model's folder."""
    started = time.perf_counter()
    loaded = load(model, spec.device)
    embedder = embedder_of(spec, loaded)
    scores = {}
    for name, suite in spec.config.suites.items():
        if model.suites is not None and name not in model.suites:
            continue
        scores[name] = suite.score(_scoring(spec, model, name, loaded, embedder))
        primary = scores[name].primary
        log.info("%s on %s: %s %.4f, n %d", model.name, name, primary, scores[name].metrics[primary], scores[name].rows)
        scores[name].write(model.folder / f"{name}.json")
    latency = _latency(loaded, embedder.texts) if embedder.texts else None
    report = EvaluationReport(
        model=model.name,
        model_path=model.path,
        model_digest=model.digest,
        suites=scores,
        max_seq_length=loaded.max_seq_length,
        seconds=time.perf_counter() - started,
        model_bytes=sum(path.stat().st_size for path in model.path.rglob("*") if path.is_file()),
        latency_milliseconds=latency.milliseconds if latency else None,
        latency=latency,
    )
    report.write(report_file(model.folder))
    return report


def score_reference(spec: EvaluationSpec, name: str, folder: Path) -> Reference:
    """Score what a suite is compared with; writes its per-row values and `reference.json` into `folder`."""
    suite, data = spec.config.suites[name], spec.data_of(name)
    assert data is not None  # a suite that brings its own rows has no reference
    pairs = folder / f"{name}.parquet"
    found = Reference(name=suite.reference, metrics=suite.score_reference(data, pairs), pairs=pairs)
    log.info("%s on %s: %s %.4f", found.name, name, suite.primary, found.metrics[suite.primary])
    found.write(reference_file(folder))
    return found


def reference_file(folder: Path) -> Path:
    """Where the worker leaves the record of a reference."""
    return folder / "reference.json"


def load(model: ModelSpec, device: str) -> Any:
    """The model in float32 from the local disk: as it was saved, or as the recipe wants its base or teacher."""
    with without_collection():
        from stsflow.tasks.models.loading import load_encoder, load_helper

    return load_encoder(model.path, device=device) if model.base is None else load_helper(model.base, device=device)


def embedder_of(spec: EvaluationSpec, model: Encoder) -> Embedder:
    """What suites get their embeddings from."""
    from stsflow.tasks.evaluation.embedded import Embedder

    return Embedder(model, spec.config.batch_size)


def _latency(model: Encoder, texts: Sequence[str]) -> Latency | None:
    from stsflow.tasks.evaluation.latency import measure_latency

    on_cpu = model.device.type == "cpu"
    return measure_latency(lambda text: model.encode([text], show_progress_bar=False), texts, on_cpu=on_cpu)


def _scoring(spec: EvaluationSpec, model: ModelSpec, suite: str, loaded: Encoder, embedder: Embedder) -> Scoring:
    from stsflow.tasks.evaluation.scoring import Scoring

    return Scoring(
        suite=suite,
        prepared=spec.data_of(suite),
        model_name=model.name,
        model_digest=model.digest,
        kind=ModelKind.named(model.base.model_kind if model.base else BiEncoder.kind_name()),
        model=loaded,
        embedder=embedder.for_suite(spec.prompts.get(suite, SuitePrompts())),
        similarity=str(getattr(loaded, "similarity_fn_name", None) or "cosine"),
        batch_size=spec.config.batch_size,
        resamples=spec.config.resamples,
        confidence=spec.config.confidence,
        seed=spec.config.seed,
        folder=model.folder,
    )


def main() -> None:
    """Read the spec that the command line names and evaluate its models, one after another.

    Ends with 2 when a model is refused, its log with the sentence that says why.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    spec = EvaluationSpec.load(Path(sys.argv[1]))
    with refusal_ends_the_process():
        for name, folder in spec.references.items():
            score_reference(spec, name, folder)
        for model in spec.models:
            evaluate(spec, model)


if __name__ == "__main__":
    guard()
    main()
