"""What a model is measured on. Each kind of suite states its data, its metrics and its primary metric."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.data.shapes import ScoredPairs
from tasks.data.sources import Source
from tasks.schema import Section

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


Suite = Annotated[StsSuite, Field()]
