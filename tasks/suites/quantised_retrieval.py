"""Retrieval from an index of embeddings in fewer bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.suites.family import Metric
from stsflow.tasks.suites.paired import MeanOfRows
from stsflow.tasks.suites.quantised import ABOUT_INDEXES, EVERY_PRECISION, Precisions
from stsflow.tasks.suites.retrieval import Depths, RetrievalSuite

if TYPE_CHECKING:
    from stsflow.tasks.search.dense import Rows
    from stsflow.tasks.search.judged import JudgedSearch
    from stsflow.tasks.statistics.correlation import Floats


class QuantisedRetrievalSuite(RetrievalSuite):
    """Retrieval where the corpus is embeddings in fewer bits.

    Metrics are those of `retrieval` in float32, each again as `<metric>_<precision>`, and `loss_<precision>`: by how
    much the primary one of float32 is higher.
    """

    kind: Literal["quantised_retrieval"] = "quantised_retrieval"  # type: ignore[assignment] # a kind of its own
    heading: ClassVar[str] = "Information Retrieval by Precision of the Index"
    measured_as: ClassVar[str] = ABOUT_INDEXES
    chooses_by: ClassVar[str] = ""
    precisions: Precisions = Field(default=EVERY_PRECISION, min_length=1)
    """Forms of an embedding in the index, beside float32."""
    oversampling: int = Field(default=4, ge=1, le=100)
    """Times as many passages as are wanted that `binary_rescored` puts in order."""
    mrr_at: Depths = ()
    """Mean reciprocal rank of the first relevant passage, among the first k."""
    map_at: Depths = ()
    """Mean average precision of the first k."""
    recall_at: Depths = (10, 100)
    """Share of the relevant passages that are among the first k."""
    bm25: bool = False
    """Whether BM25 is measured on the same rows for comparison."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Each measure in float32 and at each precision, then the losses."""
        precisions = tuple(dict.fromkeys(self.precisions))
        return (
            *self.measures_wanted,
            *(f"{name}_{precision}" for precision in precisions for name in self.measures_wanted),
            *(f"loss_{precision}" for precision in precisions),
        )

    @classmethod
    def metric(cls, name: str) -> Metric:
        """A mean over queries; of a loss less is better."""
        if name.startswith("loss_"):
            return Metric(low=-1.0, high=1.0, higher_is_better=False, paired=MeanOfRows(name))
        return super().metric(name)

    def ranked(self, search: JudgedSearch, queries: Rows, corpus: Rows, similarity: str) -> dict[str, Floats]:
        """Of every query, each measure at each precision and what that costs of the primary one."""
        from stsflow.tasks.search.judged import deepest
        from stsflow.tasks.search.quantised import nearest_in

        wanted = self.measures_wanted
        values = super().ranked(search, queries, corpus, similarity)
        losses = {}
        for precision in dict.fromkeys(self.precisions):
            found = nearest_in(queries, corpus, deepest(wanted), precision, similarity, oversampling=self.oversampling)
            values |= {f"{name}_{precision}": column for name, column in search.measures(found, wanted).items()}
            losses[f"loss_{precision}"] = values[self.primary] - values[f"{self.primary}_{precision}"]
        return values | losses
