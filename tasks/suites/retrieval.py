"""Retrieval: every query against the whole corpus, ranked by the model's own similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stsflow.tasks.ground.errors import DataError, EvaluationFailed
from stsflow.tasks.shapes import JudgedPairs
from stsflow.tasks.suites.family import Metric, SuiteOfRows
from stsflow.tasks.suites.paired import MeanOfRows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from stsflow.tasks.evaluation.embedded import Embeddings
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import SuiteScores

RECALL_AT = (1, 10, 100)
# Similarities of this many queries with the whole corpus are held at a time.
QUERIES_AT_A_TIME = 256


class RetrievalSuite(SuiteOfRows):
    """Retrieval over a small corpus, from judged pairs: a query, a passage, and how relevant it is.

    The corpus is every distinct passage of the source; passages that nobody asks for go in as rows of relevance 0 or
    without a query. A pair that is not in the source counts as not relevant. Passages are ranked by the similarity
    that the model is made for (cosine unless it says otherwise), the whole corpus for every query.
    """

    kind: Literal["retrieval"] = "retrieval"
    heading: ClassVar[str] = "Information Retrieval"
    task_type: ClassVar[str] = "information-retrieval"
    shape: JudgedPairs = JudgedPairs()
    """Which columns hold query (`sentence1`), passage (`sentence2`) and relevance (`score`)."""
    query_prompt: str | None = None
    """Text put before every query, in place of the model's own; empty: none. Default: what the model says."""
    passage_prompt: str | None = None
    """Text put before every passage, in place of the model's own; empty: none. Default: what the model says."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Means over the queries that have a relevant passage."""
        return ("ndcg_at_10", "mrr_at_10", *(f"recall_at_{k}" for k in RECALL_AT))

    @property
    def primary(self) -> str:
        """nDCG of the first ten."""
        return "ndcg_at_10"

    @classmethod
    def metric(cls, name: str) -> Metric:
        """A mean over queries."""
        return Metric(low=0.0, high=1.0, paired=MeanOfRows(name))

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

        from stsflow.tasks.evaluation.scoring import read_columns, write_parquet

        columns = read_columns(scoring.data)
        relevance = judgements(columns["sentence1"], columns["sentence2"], columns["score"])
        if not relevance:
            raise EvaluationFailed(f"the suite {scoring.suite} has no query with a relevant passage (score above 0)")
        queries = list(relevance)
        corpus = list(dict.fromkeys(columns["sentence2"]))
        (asked,) = scoring.embedder.embed(queries, side="query", prompt=self.query_prompt)
        (passages,) = scoring.embedder.embed(corpus, side="document", prompt=self.passage_prompt)
        ranked = rank(asked, passages, max(RECALL_AT), scoring.model.similarity_fn_name)
        found = [
            query_metrics([corpus[i] for i in order], relevance[query])
            for query, order in zip(queries, ranked, strict=True)
        ]
        values = {name: np.array([row[name] for row in found]) for name in self.metrics}
        write_parquet(scoring.pairs_file, {"row": list(range(len(queries))), "query": queries, **values})
        return scoring.scores(
            self,
            rows=len(queries),
            metrics={name: float(column.mean()) for name, column in values.items()},
            intervals=scoring.mean_intervals(values),
        )


def judgements(queries: Sequence[str], passages: Sequence[str], scores: Sequence[float]) -> dict[str, dict[str, float]]:
    """Relevance of each relevant passage by query; queries without one are left out. The highest of several counts."""
    found: dict[str, dict[str, float]] = {}
    for query, passage, score in zip(queries, passages, scores, strict=True):
        if score > 0:
            known = found.setdefault(query, {})
            known[passage] = max(score, known.get(passage, 0.0))
    return found


def rank(queries: Embeddings, corpus: Embeddings, depth: int, similarity: str = "cosine") -> list[np.ndarray[Any, Any]]:
    """For each query the numbers of its `depth` nearest passages by `similarity`, nearest first; ties in corpus order.

    `similarity` is one that a sentence-transformers model may have: cosine, dot, euclidean or manhattan.
    """
    import numpy as np

    from stsflow.tasks.statistics.similarity import all_similarities

    ranked: list[np.ndarray[Any, Any]] = []
    for start in range(0, len(queries), QUERIES_AT_A_TIME):
        similarities = all_similarities(queries[start : start + QUERIES_AT_A_TIME], corpus, similarity)
        ranked.extend(np.argsort(-similarities, axis=1, kind="stable")[:, :depth])
    return ranked


def query_metrics(ranked: Sequence[str], relevance: Mapping[str, float]) -> dict[str, float]:
    """nDCG@10 (gain = relevance, discount log2(rank + 1)), MRR@10 and recall of one query's ranking."""
    gains = [relevance.get(passage, 0.0) for passage in ranked]
    hits = [rank for rank, gain in enumerate(gains, start=1) if gain > 0]
    return {
        "ndcg_at_10": _discounted(gains[:10]) / _discounted(sorted(relevance.values(), reverse=True)[:10]),
        "mrr_at_10": 1.0 / hits[0] if hits and hits[0] <= 10 else 0.0,
        **{f"recall_at_{k}": sum(hit <= k for hit in hits) / len(relevance) for k in RECALL_AT},
    }


def _discounted(gains: Sequence[float]) -> float:
    import numpy as np

    return float(sum(gain / np.log2(rank + 1) for rank, gain in enumerate(gains, start=1)))
