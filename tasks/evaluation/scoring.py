"""What a suite is given to score one model, and what every kind of suite does alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stsflow.tasks.evaluation.embedded import Embedder
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.models.kinds import EMBEDDINGS, ModelKind
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.evaluation import Interval, SuiteScores
from stsflow.tasks.statistics import SIMILARITIES
from stsflow.tasks.statistics.bootstrap import bootstrap_means, percentile_interval
from stsflow.tasks.statistics.correlation import Floats
from stsflow.tasks.statistics.similarity import pair_similarities

if TYPE_CHECKING:
    from stsflow.tasks.suites import Suite


@dataclass(frozen=True)
class Scoring:
    """One model about to be scored on one suite. A suite writes its files into `folder` and returns SuiteScores."""

    suite: str
    """Name of the suite in the recipe."""
    prepared: PreparedSet | None
    """Its rows; None for a suite that brings its own."""
    model_name: str
    model_digest: str
    kind: ModelKind
    model: Any
    """The library's model, for suites that run it themselves."""
    embedder: Embedder
    """The model's embeddings of texts."""
    similarity: str
    """The similarity that its embeddings are made for."""
    batch_size: int
    resamples: int
    confidence: float
    seed: int
    folder: Path

    @property
    def data(self) -> PreparedSet:
        """The suite's rows, where the data stage prepared them."""
        if self.prepared is None:
            raise EvaluationFailed(f"the suite {self.suite} has no prepared data")
        return self.prepared

    def similarities(self, firsts: Sequence[str], seconds: Sequence[str]) -> dict[str, Floats]:
        """The similarities of the texts of each pair, by name. What a model says that reads both texts together stands
        in the place of each.
        """
        if self.kind.gives in EMBEDDINGS:
            return pair_similarities(*self.embedder.embed(firsts, seconds))
        found = self.kind.score(self.model, firsts, seconds, batch_size=self.batch_size, alike=True)
        return dict.fromkeys(SIMILARITIES, found.astype(np.float64))

    @property
    def pairs_file(self) -> Path:
        """Where the per-row scores of this suite go."""
        return self.folder / f"{self.suite}.parquet"

    @property
    def plot_file(self) -> Path:
        """Where the figure of this suite goes."""
        return self.folder / f"{self.suite}.png"

    def title(self, suite: Suite) -> str:
        """What the suite is called in card and figures."""
        return suite.title or self.data.title

    def scores(self, suite: Suite, **found: Any) -> SuiteScores:
        """The record of what was `found` (fields of SuiteScores), with what every suite says alike where it does not
        say otherwise; the per-row scores are taken to be at `pairs_file`."""
        alike: dict[str, Any] = {
            "suite": self.suite, "kind": suite.kind_name(), "split": suite.split or self.suite,
            "model_digest": self.model_digest, "primary": suite.primary, "pairs": self.pairs_file,
        }  # fmt: skip
        if self.prepared is not None:
            alike |= {"title": self.title(suite), "data_digest": self.prepared.digest}
        return SuiteScores(**{**alike, **found})

    def mean_intervals(self, columns: Mapping[str, Floats]) -> dict[str, Interval]:
        """Interval of each metric that is the mean of a column of per-row values; none without resamples."""
        if not self.resamples:
            return {}
        return self.intervals(bootstrap_means(columns, self.resamples, self.seed))

    def intervals(self, values: Mapping[str, Floats]) -> dict[str, Interval]:
        """Interval of each metric from its bootstrap values; a metric without a defined value has none."""
        found = {metric: percentile_interval(column, self.confidence) for metric, column in values.items()}
        return {
            metric: Interval(low=item.low, high=item.high, confidence=item.confidence, resamples=item.resamples)
            for metric, item in found.items()
            if not np.isnan(item.low)
        }


def read_columns(data: PreparedSet) -> dict[str, list[Any]]:
    """All columns of a prepared data set, as lists."""
    from stsflow.tasks.sets.rows import read_rows

    table = read_rows(data)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def clean_rows(data: PreparedSet) -> list[int] | None:
    """Numbers of the rows that share nothing with training; None when nobody looked."""
    if data.clean_rows is None:
        return None
    return [int(row) for row in json.loads(data.clean_rows.read_text(encoding="utf-8"))]


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any] | Floats]) -> Path:
    """Write columns of equal length as a parquet file; return `path`."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path)
    return path


def read_parquet(path: Path, columns: Iterable[str] | None = None) -> dict[str, Any]:
    """Columns of a parquet file: numbers as float64 or int64 arrays, texts as lists."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=None if columns is None else list(columns))
    return {
        name: table.column(name).to_pylist() if pyarrow.types.is_string(field.type) else table.column(name).to_numpy()
        for name, field in zip(table.column_names, table.schema, strict=True)
    }
