"""The forms in which a tuned model is shipped: what was made, what it costs against the model, what is released."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.exports import Limits
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.evaluation import Difference, EvaluationReport


class Speed(Record):
    """What a batch of texts takes on a CPU: the median of several, of the best of several rounds."""

    batch: int
    """Texts in it."""
    milliseconds: float

    @property
    def texts_per_second(self) -> float:
        """Texts of such batches in a second."""
        return 1000.0 * self.batch / self.milliseconds


class ExportFigures(Record):
    """What was measured of an export."""

    texts: int
    """Texts of the sample."""
    max_distance: float | None
    """Largest cosine distance of a text's embedding to the tuned model's; None where the two are no neighbours by
    design."""
    mean_distance: float | None
    batch_distance: float
    """Largest cosine distance between the embeddings of a text that is alone and of the same in a batch of others."""
    scores: EvaluationReport
    """On the suites that are scored from embeddings."""
    speed: tuple[Speed, ...]
    size_bytes: int
    """Of all files of the folder."""
    seconds: float
    """That the measurement took."""


class ExportOutcome(Record):
    """One export of a run, and whether it passed the gate."""

    name: str
    """In the recipe."""
    kind: str
    folder: Path | None = None
    """Where its files lie; None where it could not be made."""
    digest: str = ""
    """SHA-256 over the folder's files."""
    main_file: str = ""
    """The file in it that holds the weights."""
    dimension: int = 0
    """Numbers of an embedding."""
    passed: bool
    """Whether it is released."""
    reasons: tuple[str, ...] = ()
    """Why not, one sentence each."""
    figures: ExportFigures | None = None
    """None where it could not be made or measured."""
    differences: tuple[Difference, ...] = ()
    """Export minus tuned model on each suite, in its primary metric, paired."""
    limits: Limits = Limits()
    """Those that it was held to."""
    snippet: str = ""
    """Python code that reads the folder by itself."""


class Exports(Record):
    """All exports of a run, in the order of the recipe."""

    model_digest: str
    """Of the tuned model's folder."""
    model_bytes: int
    speed: tuple[Speed, ...]
    """Of the tuned model itself, in PyTorch on the same processor."""
    texts: int
    """Texts of the sample."""
    items: tuple[ExportOutcome, ...]

    @property
    def released(self) -> tuple[ExportOutcome, ...]:
        """Those that passed the gate."""
        return tuple(item for item in self.items if item.passed)
