"""Triplets: is the positive closer to the anchor than the negative?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.records.prompts import Side
from stsflow.tasks.shapes import NliTriplets, Triplets
from stsflow.tasks.statistics import SIMILARITIES
from stsflow.tasks.suites.family import Metric, SuiteOfRows
from stsflow.tasks.suites.paired import MeanOfRows

if TYPE_CHECKING:
    import pyarrow as pa

    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import SuiteScores
    from stsflow.tasks.records.quality import SuiteQuality


class TripletSuite(SuiteOfRows):
    """Triplet accuracy: the share of rows whose positive is strictly closer to the anchor than the negative is."""

    kind: Literal["triplets"] = "triplets"
    heading: ClassVar[str] = "Triplet Accuracy"
    task_type: ClassVar[str] = "triplet"
    chooses_by: ClassVar[str] = "stsflow.tasks.statistics.similarity:triplets_while_training"
    texts_of_rows: ClassVar[tuple[str, ...]] = ("anchor", "positive", "negative")
    shape: Annotated[Triplets | NliTriplets, Field(discriminator="kind")] = Triplets()
    """Which columns hold the triplet, or how triplets are made of inference rows."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Accuracy under each similarity."""
        return tuple(f"accuracy_{name}" for name in SIMILARITIES)

    @property
    def primary(self) -> str:
        """Accuracy under the cosine."""
        return "accuracy_cosine"

    @classmethod
    def metric(cls, name: str) -> Metric:
        """A share of the rows."""
        return Metric(low=0.0, high=1.0, paired=MeanOfRows(name))

    @property
    def chooses_with(self) -> dict[str, JsonValue]:
        """Whether its texts are all alike."""
        return {"alike": self.symmetric}

    def quality(self, rows: pa.Table) -> SuiteQuality:
        """How far word overlap goes in the place of a model, and what repeats."""
        from stsflow.tasks.evaluation.slices import lexical_overlap
        from stsflow.tasks.leakage.within import THRESHOLD, repeats_within
        from stsflow.tasks.records.quality import SuiteQuality

        columns = self.texts_of_rows
        texts = zip(*(rows[name].to_pylist() for name in columns), strict=True)
        right = sum(lexical_overlap(anchor, near) > lexical_overlap(anchor, far) for anchor, near, far in texts)
        repeated, near = repeats_within(rows, columns, symmetric=False)
        return SuiteQuality(
            metric=self.primary, lexical=right / max(1, rows.num_rows), repeated=repeated, near=near,
            threshold=THRESHOLD,
        )  # fmt: skip

    def score(self, scoring: Scoring) -> SuiteScores:
        """Accuracy under each similarity; writes `<suite>.parquet` with 0 or 1 a row in the column of each metric.

        A tie counts as wrong: a model that maps every text to one point gets 0, not a half. Anchors are read as
        queries, the others as documents, where a model tells them apart and the texts are not all alike.
        """
        import numpy as np

        from stsflow.tasks.evaluation.scoring import clean_rows, read_columns, write_parquet
        from stsflow.tasks.statistics.similarity import pair_similarities

        columns = read_columns(scoring.data)
        asked: Side | None = None if self.symmetric else "query"
        answers: Side | None = None if self.symmetric else "document"
        (anchors,) = scoring.embedder.embed(columns["anchor"], side=asked)
        positives, negatives = scoring.embedder.embed(columns["positive"], columns["negative"], side=answers)
        near, far = pair_similarities(anchors, positives), pair_similarities(anchors, negatives)
        correct = {f"accuracy_{name}": (near[name] > far[name]).astype(np.float64) for name in near}
        rows = len(columns["anchor"])
        texts = {name: columns[name] for name in ("anchor", "positive", "negative")}
        margin = near["cosine"] - far["cosine"]
        write_parquet(scoring.pairs_file, {"row": list(range(rows)), **texts, **correct, "margin_cosine": margin})
        clean = clean_rows(scoring.data)
        return scoring.scores(
            self,
            rows=rows,
            metrics={name: float(values.mean()) for name, values in correct.items()},
            intervals=scoring.mean_intervals(correct),
            clean={} if not clean else {name: float(values[clean].mean()) for name, values in correct.items()},
            clean_rows=None if clean is None else len(clean),
        )
