"""Retrieval: every query against the whole corpus, ranked by the model's own similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.ground.errors import DataError, EvaluationFailed
from stsflow.tasks.shapes import JudgedPairs
from stsflow.tasks.suites.family import Metric, SuiteOfRows
from stsflow.tasks.suites.paired import MeanOfRows

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.data import PreparedSet
    from stsflow.tasks.records.evaluation import SuiteScores
    from stsflow.tasks.search.dense import Rows
    from stsflow.tasks.search.judged import JudgedSearch
    from stsflow.tasks.statistics.correlation import Floats

Depths = tuple[Annotated[int, Field(ge=1, le=1_000)], ...]


class RetrievalSuite(SuiteOfRows):
    """Retrieval over a corpus, from judged pairs: a query, a passage, and how relevant it is.

    The corpus is every distinct passage of the source; passages that nobody asks for go in as rows of relevance 0 or
    without a query. A pair that is not in the source counts as not relevant. Passages are ranked by the similarity
    that the model is made for (cosine unless it says otherwise), the whole corpus for every query, equal ones in the
    order of the corpus. Metrics are those of trec_eval, means over the queries that have a relevant passage.
    """

    kind: Literal["retrieval"] = "retrieval"
    heading: ClassVar[str] = "Information Retrieval"
    task_type: ClassVar[str] = "information-retrieval"
    chooses_by: ClassVar[str] = "stsflow.tasks.search.judged:retrieval_while_training"
    measured_as: ClassVar[str] = (
        "Every passage is ranked for every query, and measured as [trec_eval](https://github.com/usnistgov/trec_eval) "
        "does; a column `bm25` holds the scores of a ranking by shared words alone, without a model"
    )
    texts_of_rows: ClassVar[tuple[str, ...]] = ("query",)
    shape: JudgedPairs = JudgedPairs()
    """Which columns hold query (`sentence1`), passage (`sentence2`) and relevance (`score`)."""
    ndcg_at: Depths = Field(default=(10,), min_length=1)
    """nDCG of the first k, for each of these k; 10, where it is among them, gives the primary metric, else the first.
    """
    mrr_at: Depths = (10,)
    """Mean reciprocal rank of the first relevant passage, among the first k."""
    map_at: Depths = (100,)
    """Mean average precision of the first k; a query's precisions are averaged over all of its relevant passages."""
    recall_at: Depths = (1, 10, 100)
    """Share of the relevant passages that are among the first k."""
    precision_at: Depths = ()
    """Share of the first k that are relevant."""
    bm25: bool = True
    """Whether BM25, which ranks by words alone, is measured on the same rows for comparison."""

    @property
    def measures_wanted(self) -> tuple[str, ...]:
        """Each measure at each of its depths."""
        at = {name: getattr(self, f"{name}_at") for name in ("ndcg", "mrr", "map", "recall", "precision")}
        return tuple(dict.fromkeys(f"{name}_at_{k}" for name, depths in at.items() for k in depths))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The measures."""
        return self.measures_wanted

    @property
    def primary(self) -> str:
        """nDCG of the first ten."""
        return f"ndcg_at_{10 if 10 in self.ndcg_at else self.ndcg_at[0]}"

    @classmethod
    def metric(cls, name: str) -> Metric:
        """A mean over queries."""
        return Metric(low=0.0, high=1.0, paired=MeanOfRows(name))

    @property
    def chooses_with(self) -> dict[str, JsonValue]:
        """The metrics that are asked for."""
        return {"wanted": list(self.measures_wanted)}

    def why_undefined(self, name: str, rows: pa.Table) -> str:
        """Without a relevant passage no model can be scored: DataError."""
        import pyarrow.compute as pc

        if not pc.any(pc.greater(rows["score"], 0.0)).as_py():
            raise DataError(
                f"{name}: none of its {rows.num_rows:,} rows has a relevance above 0, so no query has a passage to "
                "find; at least one must."
            )
        return ""

    def score(self, scoring: Scoring) -> SuiteScores:
        """Means over the queries that have a relevant passage; writes `<suite>.parquet`, one row a query.

        Raises EvaluationFailed when no query has one.
        """
        import numpy as np

        from stsflow.tasks.evaluation.scoring import clean_rows, write_parquet
        from stsflow.tasks.search.judged import JudgedSearch
        from stsflow.tasks.sets.rows import read_rows

        rows = read_rows(scoring.data)
        search = JudgedSearch.of(rows)
        texts = search.queries
        if not texts:
            raise EvaluationFailed(f"the suite {scoring.suite} has no query with a relevant passage (score above 0)")
        (near,) = scoring.embedder.embed(texts, side="query")
        corpus = scoring.embedder.embed_corpus(search.passages, scoring.folder)
        values = self.ranked(search, near, corpus, scoring.similarity)
        write_parquet(scoring.pairs_file, {"row": list(range(len(texts))), "query": texts, **values})
        clean = clean_rows(scoring.data)
        if clean is not None:  # a query is clean when all of its relevant pairs are
            shared = (rows["score"].to_numpy() > 0) & ~np.isin(np.arange(rows.num_rows), clean)
            asked = search.rows_of_queries[shared]
            clean = np.flatnonzero(~np.isin(search.judgements.asked, asked)).tolist()
        return scoring.scores(
            self,
            rows=len(texts),
            metrics={name: float(column.mean()) for name, column in values.items()},
            intervals=scoring.mean_intervals(values),
            clean={} if not clean else {name: float(column[clean].mean()) for name, column in values.items()},
            clean_rows=None if clean is None else len(clean),
        )

    def ranked(self, search: JudgedSearch, queries: Rows, corpus: Rows, similarity: str) -> dict[str, Floats]:
        """Each metric of every query, from embeddings of the queries and of the corpus."""
        from stsflow.tasks.search.dense import nearest
        from stsflow.tasks.search.judged import deepest

        found = nearest(queries, corpus, deepest(self.measures_wanted), similarity)
        return search.measures(found, self.measures_wanted)

    @property
    def reference(self) -> str:
        """BM25, unless it is turned off."""
        return "bm25" if self.bm25 else ""

    def score_reference(self, data: PreparedSet, pairs: Path) -> dict[str, float]:
        """The metrics of BM25: the words of queries and passages, ranked as Lucene ranks them."""
        from stsflow.tasks.evaluation.scoring import write_parquet
        from stsflow.tasks.search.judged import JudgedSearch, deepest
        from stsflow.tasks.search.lexical import LexicalIndex
        from stsflow.tasks.sets.rows import read_rows

        search = JudgedSearch.of(read_rows(data))
        found = LexicalIndex(search.passages).nearest(search.queries, deepest(self.measures_wanted))
        values = search.measures(found, self.measures_wanted)
        write_parquet(pairs, {"row": list(range(len(search.queries))), "query": search.queries, **values})
        return {name: float(column.mean()) for name, column in values.items()}
