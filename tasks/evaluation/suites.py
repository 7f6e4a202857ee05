"""What a model is measured on. Each kind of suite states its data, its metrics and its primary metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.data.shapes import ScoredPairs
from tasks.data.sources import Source
from tasks.schema import Section

if TYPE_CHECKING:
    from tasks.evaluation.scoring import Scoring
    from tasks.records import PreparedSet, SuiteScores

STS_METRICS = tuple(
    f"{correlation}_{similarity}"
    for similarity in ("cosine", "manhattan", "euclidean", "dot", "max")
    for correlation in ("pearson", "spearman")
)


class StsSuite(Section):
    """Semantic textual similarity: correlation of the model's similarities with gold scores (ten metrics)."""

    kind: Literal["sts"] = "sts"
    metrics: ClassVar[tuple[str, ...]] = STS_METRICS
    primary: ClassVar[str] = "spearman_cosine"
    source: Source
    """Where the rows come from."""
    shape: ScoredPairs = ScoredPairs()
    """Which columns hold the pair and its score."""
    split: str = ""
    """Name of the split for the card, such as `dev` or `test`; default: the suite's own name."""
    title: str = ""
    """Name for the card; default: the suite's own name."""
    language: tuple[str, ...] = ()
    """Language codes of the texts."""
    license: str = ""
    """Licence of the data (SPDX identifier, lower case)."""
    subsets_by: str | None = None
    """A kept column (see `shape.keep`), such as `genre`, whose values are scored apart as well."""
    expect_rows: int | None = Field(default=None, ge=1)
    """Rows that the source must have; another number is refused."""

    def texts(self, data: PreparedSet) -> Iterator[str]:
        """Every sentence that scoring will ask embeddings for."""
        from tasks.evaluation.scoring import read_columns

        columns = read_columns(data)
        yield from columns["sentence1"]
        yield from columns["sentence2"]

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite."""
        from tasks.evaluation.sts import score_sts

        return score_sts(self, scoring)


Suite = Annotated[StsSuite, Field()]
