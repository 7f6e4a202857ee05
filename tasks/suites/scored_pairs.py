"""What suites over pairs with a gold score have in common: their metrics are correlations with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from stsflow.tasks.shapes import ScoredPairs
from stsflow.tasks.statistics import SIMILARITIES
from stsflow.tasks.suites.family import Metric, SuiteOfRows
from stsflow.tasks.suites.paired import Correlation

if TYPE_CHECKING:
    import pyarrow as pa


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
