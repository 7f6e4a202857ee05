"""What a model is measured on. Each kind of suite states its data, its metrics and its primary metric.

| kind | data | metrics |
|---|---|---|
| `sts` | pairs with a gold score | Pearson and Spearman of five similarities |
| `matryoshka` | the same | the two of the cosine, with embeddings cut to several sizes |
| `triplets` | anchor, positive, negative | share of rows whose positive is closer than the negative |
| `retrieval` | judged query and passage pairs | nDCG@10, MRR@10, recall |
| `mteb` | a task of the package `mteb`, by name | that task's main score |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.ground.names import Language, Licence, MtebTask
from stsflow.tasks.ground.schema import MOST_ROWS, Dimension, Section
from stsflow.tasks.shapes import JudgedPairs, NliTriplets, ScoredPairs, Triplets
from stsflow.tasks.sources import Source

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import SuiteScores

STS_METRICS = tuple(
    f"{correlation}_{similarity}"
    for similarity in ("cosine", "manhattan", "euclidean", "dot", "max")
    for correlation in ("pearson", "spearman")
)


class Described(Section):
    """What every suite may say about itself."""

    split: str = ""
    """Name of the split for the card, such as `dev` or `test`; default: the suite's own name."""
    title: str = ""
    """Name for the card; default: the suite's own name."""
    language: tuple[Language, ...] = ()
    """Language codes of the texts."""
    license: Licence = ""
    """Licence of the data (SPDX identifier, lower case)."""
    expect_rows: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Rows that the source must have; another number is refused."""


class StsSuite(Described):
    """Semantic textual similarity: correlation of the model's similarities with gold scores (ten metrics)."""

    kind: Literal["sts"] = "sts"
    metrics: ClassVar[tuple[str, ...]] = STS_METRICS
    primary: ClassVar[str] = "spearman_cosine"
    source: Source
    """Where the rows come from."""
    shape: ScoredPairs = ScoredPairs()
    """Which columns hold the pair and its score."""
    subsets_by: str | None = None
    """A kept column (see `shape.keep`), such as `genre`, whose values are scored apart as well."""

    @model_validator(mode="after")
    def _subsets_are_kept(self) -> Self:
        if self.subsets_by is not None and self.subsets_by not in self.shape.keep:
            raise ValueError(f"`subsets_by` names {self.subsets_by!r}, which is not among the columns of `shape.keep`")
        return self

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite."""
        from stsflow.tasks.suites.sts import score_sts

        return score_sts(self, scoring)


class MatryoshkaSuite(Described):
    """Semantic textual similarity with embeddings cut to their first numbers: what a smaller index would cost.

    Metrics are `pearson_cosine_<size>` and `spearman_cosine_<size>`; the largest size gives the primary one.
    """

    kind: Literal["matryoshka"] = "matryoshka"
    source: Source
    """Where the rows come from."""
    shape: ScoredPairs = ScoredPairs()
    """Which columns hold the pair and its score."""
    dimensions: tuple[Dimension, ...] = Field(min_length=1, max_length=64)
    """Sizes to cut embeddings to; none may exceed the model's own."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, largest size first."""
        sizes = sorted(set(self.dimensions), reverse=True)
        return tuple(f"{kind}_cosine_{size}" for size in sizes for kind in ("pearson", "spearman"))

    @property
    def primary(self) -> str:
        """Name of the primary metric."""
        return f"spearman_cosine_{max(self.dimensions)}"

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite."""
        from stsflow.tasks.suites.matryoshka import score_matryoshka

        return score_matryoshka(self, scoring)


class TripletSuite(Described):
    """Triplet accuracy: the share of rows whose positive is strictly closer to the anchor than the negative is."""

    kind: Literal["triplets"] = "triplets"
    metrics: ClassVar[tuple[str, ...]] = tuple(f"accuracy_{s}" for s in ("cosine", "manhattan", "euclidean", "dot"))
    primary: ClassVar[str] = "accuracy_cosine"
    source: Source
    """Where the rows come from."""
    shape: Annotated[Triplets | NliTriplets, Field(discriminator="kind")] = Triplets()
    """Which columns hold the triplet, or how triplets are made of inference rows."""

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite."""
        from stsflow.tasks.suites.triplets import score_triplets

        return score_triplets(self, scoring)


class RetrievalSuite(Described):
    """Retrieval over a small corpus, from judged pairs: a query, a passage, and how relevant it is.

    The corpus is every distinct passage of the source; passages that nobody asks for go in as rows of relevance 0 or
    without a query. A pair that is not in the source counts as not relevant. Passages are ranked by the similarity
    that the model is made for (cosine unless it says otherwise), the whole corpus for every query.
    """

    kind: Literal["retrieval"] = "retrieval"
    metrics: ClassVar[tuple[str, ...]] = ("ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_10", "recall_at_100")
    primary: ClassVar[str] = "ndcg_at_10"
    source: Source
    """Where the judged pairs come from."""
    shape: JudgedPairs = JudgedPairs()
    """Which columns hold query (`sentence1`), passage (`sentence2`) and relevance (`score`)."""
    query_prompt: str | None = None
    """Text put before every query, in place of the model's own; empty: none. Default: what the model says."""
    passage_prompt: str | None = None
    """Text put before every passage, in place of the model's own; empty: none. Default: what the model says."""

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite."""
        from stsflow.tasks.suites.retrieval import score_retrieval

        return score_retrieval(self, scoring)


class MtebSuite(Described):
    """A task of the Massive Text Embedding Benchmark by its name, scored by the package `mteb` itself.

    Needs the extra `mteb`. The data comes from the hub at the revision that the task names, or from a local folder in
    the hub's format (parquet, csv or json files that `datasets.load_dataset` reads).
    """

    kind: Literal["mteb"] = "mteb"
    metrics: ClassVar[tuple[str, ...]] = ("main_score",)
    primary: ClassVar[str] = "main_score"
    source: ClassVar[None] = None
    """The package fetches its own data; the data stage prepares none."""
    task: MtebTask
    """Name of the task, such as `KorSTS`."""
    folder: Path | None = None
    """Local folder with the task's data; default: the hub."""

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite."""
        from stsflow.tasks.suites.mteb import score_mteb

        return score_mteb(self, scoring)


Suite = Annotated[StsSuite | MatryoshkaSuite | TripletSuite | RetrievalSuite | MtebSuite, Field(discriminator="kind")]
