"""What an export costs: its embeddings, scores and speed against the tuned model's. Called in a child process.

Nothing here needs PyTorch: an export that is measured is an export that works without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.evaluation.embedded import Embedder, Embeddings
from stsflow.tasks.evaluation.latency import measure_latency
from stsflow.tasks.evaluation.scoring import Scoring
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.kinds import BiEncoder
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.exports import ExportFigures, Speed
from stsflow.tasks.records.prompts import Prompts, Side, SuitePrompts

if TYPE_CHECKING:
    from stsflow.tasks.exports.family import Encode

BATCHES = (1, 32)
BATCHES_TIMED = 4
"""Batches of the larger size that are timed in each round."""
TEXTS_OF_A_BATCH = 32
"""In which the sample is embedded, as a service would."""


@dataclass
class ExportEmbedder(Embedder):
    """The embeddings of an export, in the place of a model's, for suites."""

    prompts: Prompts = field(default_factory=Prompts)

    def prompt_of(self, side: Side | None) -> str:
        return self.prompts.of(side, self.names.name_for(side))

    def encode(self, texts: Sequence[str], side: Side | None, prompt: str) -> Embeddings:
        del side  # a graph reads every text alike
        return in_batches(cast("Encode", self.model), [prompt + text for text in texts], self.batch_size)


class MeasuringSpec(Record):
    """What is to be measured."""

    name: str
    """What the export is called in figures."""
    digest: str
    folder: Path
    """Of the export."""
    target: Path
    """Where the suites' files go; it exists and is empty."""
    texts: Path
    """JSON list of the sample."""
    reference: Path
    """The tuned model's embeddings of them (.npy)."""
    dimensions: int | None
    near: bool
    """Whether distances to the tuned model say anything."""
    config: EvaluationConfig
    """Its suites are those to score on."""
    data: tuple[PreparedSet, ...]
    suite_prompts: dict[str, SuitePrompts]
    prompts: Prompts
    """Of the model."""
    max_seq_length: int | None
    similarity: str
    """That the model is made for."""


def measure_export(spec: MeasuringSpec, encode: Encode, texts: Sequence[str]) -> ExportFigures:
    """All figures of one export; `encode` reads it. Leaves the suites' files in `spec.target`."""
    began = time.perf_counter()
    found = in_batches(encode, texts, TEXTS_OF_A_BATCH)
    few = texts[:: max(1, len(texts) // 16)][:16]
    alone = np.concatenate([encode([text]) for text in few])
    together = found[[texts.index(text) for text in few]]
    distances = _distances(found, np.load(spec.reference), spec.dimensions) if spec.near else None
    speed = measure_speed(encode, texts)
    return ExportFigures(
        texts=len(texts),
        max_distance=None if distances is None else float(distances.max()),
        mean_distance=None if distances is None else float(distances.mean()),
        batch_distance=float(_cosine_distances(alone, together).max()),
        scores=_scores(spec, encode),
        speed=speed,
        size_bytes=sum(path.stat().st_size for path in spec.folder.rglob("*") if path.is_file()),
        seconds=time.perf_counter() - began,
    )


def in_batches(encode: Encode, texts: Sequence[str], batch_size: int) -> Embeddings:
    """Embeddings of `texts` in their order, longest first in batches of `batch_size`."""
    order = sorted(range(len(texts)), key=lambda number: (-len(texts[number]), number))
    rows: Embeddings | None = None
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        some = encode([texts[number] for number in numbers])
        if rows is None:
            rows = np.empty((len(texts), some.shape[1]), dtype=np.float32)
        rows[numbers] = some
    return np.zeros((0, 0), dtype=np.float32) if rows is None else rows


def measure_speed(encode: Callable[[Sequence[str]], object], texts: Sequence[str]) -> tuple[Speed, ...]:
    """What batches of one and of 32 texts take; as `measure_latency` tells."""
    found = []
    for batch in BATCHES:
        batches: Sequence[Any] = [list(texts[start : start + batch]) for start in range(0, len(texts), batch)]
        if batch > 1:
            batches = [one for one in batches if len(one) == batch][:BATCHES_TIMED]
        latency = measure_latency(encode, batches, on_cpu=True)
        if latency is not None:
            found.append(Speed(batch=batch, milliseconds=latency.milliseconds))
    return tuple(found)


def _distances(found: Embeddings, reference: Embeddings, dimensions: int | None) -> NDArray[np.float64]:
    return _cosine_distances(found, reference if dimensions is None else reference[:, :dimensions])


def _cosine_distances(first: Embeddings, second: Embeddings) -> NDArray[np.float64]:
    """Of each row of `first` to that of `second`; 2 where it is not defined, which no limit lets pass."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distances = 1.0 - (a * b).sum(axis=1) / lengths
    return np.where(np.isfinite(distances), np.maximum(distances, 0.0), 2.0)


def _scores(spec: MeasuringSpec, encode: Encode) -> EvaluationReport:
    embedder = ExportEmbedder(model=cast("Any", encode), batch_size=spec.config.batch_size, prompts=spec.prompts)
    began = time.perf_counter()
    scores = {}
    for name, suite in spec.config.suites.items():
        scoring = Scoring(
            suite=name, prepared=next(item for item in spec.data if item.name == name), model_name=spec.name,
            model_digest=spec.digest, kind=BiEncoder(), model=None,
            embedder=embedder.for_suite(spec.suite_prompts.get(name, SuitePrompts())),
            similarity=spec.similarity, batch_size=spec.config.batch_size, resamples=spec.config.resamples,
            confidence=spec.config.confidence, seed=spec.config.seed, folder=spec.target,
        )  # fmt: skip
        scores[name] = suite.score(scoring)
    return EvaluationReport(
        model=spec.name, model_path=spec.folder, model_digest=spec.digest, suites=scores,
        seconds=time.perf_counter() - began, max_seq_length=spec.max_seq_length,
    )  # fmt: skip
