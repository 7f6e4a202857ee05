"""What suites over pairs with a gold score have in common: their metrics are correlations with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from stsflow.tasks.shapes import ScoredPairs
from stsflow.tasks.statistics import SIMILARITIES
from stsflow.tasks.suites.family import Metric, SuiteOfRows
from stsflow.tasks.suites.paired import Correlation

if TYPE_CHECKING:
    import pyarrow as pa

    from stsflow.tasks.records.quality import Agreement, SuiteQuality


class ScoredPairsSuite(SuiteOfRows):
    """Pairs with a gold score. Metrics are called `<correlation>_<column>`, `max` being the highest similarity."""

    texts_of_rows: ClassVar[tuple[str, ...]] = ("sentence1", "sentence2")
    shape: ScoredPairs = ScoredPairs()
    """Which columns hold the pair and its score."""

    @classmethod
    def metric(cls, name: str) -> Metric:
        """A correlation of the gold score with a column of per-row values, or with the best of the similarities."""
        kind, _, column = name.partition("_")
        columns = SIMILARITIES if column == "max" else (column,)
        correlation: Literal["pearson", "spearman"] = "pearson" if kind == "pearson" else "spearman"
        return Metric(low=-1.0, high=1.0, paired=Correlation(correlation, columns))

    def quality(self, rows: pa.Table) -> SuiteQuality:
        """How far word overlap goes in the place of a model, what repeats, and what several ratings a row allow."""
        import numpy as np

        from stsflow.tasks.evaluation.slices import lexical_overlap
        from stsflow.tasks.leakage.within import THRESHOLD, repeats_within
        from stsflow.tasks.records.quality import SuiteQuality
        from stsflow.tasks.statistics.similarity import CORRELATIONS

        first, second = (rows[name].to_pylist() for name in ("sentence1", "sentence2"))
        overlaps = np.array([lexical_overlap(a, b) for a, b in zip(first, second, strict=True)], dtype=np.float64)
        repeated, near = repeats_within(rows, ("sentence1", "sentence2"), symmetric=self.symmetric)
        found = CORRELATIONS[self.primary.partition("_")[0]](overlaps, rows["score"].to_numpy())
        return SuiteQuality(
            metric=self.primary, lexical=None if np.isnan(found) else found, repeated=repeated, near=near,
            threshold=THRESHOLD, agreement=self._agreement(rows),
        )  # fmt: skip

    def _agreement(self, rows: pa.Table) -> Agreement | None:
        import numpy as np

        from stsflow.tasks.records.quality import Agreement
        from stsflow.tasks.statistics.reliability import reliability

        columns = [rows[name].to_numpy().astype(np.float64) for name in self.shape.ratings]
        if not columns:
            return None
        correlation: Literal["pearson", "spearman"] = "pearson" if self.primary.startswith("pearson") else "spearman"
        found = reliability(np.stack(columns, axis=1), correlation)
        if found is None:
            return None
        return Agreement(
            raters=len(columns), rows=found.rows, between_raters=found.between, reliability=found.of_mean,
            ceiling=found.ceiling, rater=None if np.isnan(found.rater) else found.rater,
        )  # fmt: skip

    def why_undefined(self, name: str, rows: pa.Table) -> str:  # noqa: ARG002 - for kinds that need it
        """A correlation needs values that differ, of gold scores and of similarities."""
        import pyarrow.compute as pc

        if pc.count_distinct(rows["score"]).as_py() < 2:
            why = f"all {rows.num_rows:,} rows have the same gold score" if rows.num_rows > 1 else "it has one row"
        elif pc.all(pc.equal(rows["sentence1"], rows["sentence2"])).as_py():
            why = f"each of its {rows.num_rows:,} rows is one text twice, so that every similarity is the same"
        else:
            return ""
        return f"{why}, and a correlation needs values that differ"
