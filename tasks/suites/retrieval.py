"""Scoring of retrieval: every query against the whole corpus, ranked by the model's own similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stsflow.tasks.evaluation.embedded import Embeddings
from stsflow.tasks.evaluation.scoring import Scoring, read_columns, write_parquet
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.records.evaluation import SuiteScores
from stsflow.tasks.statistics.similarity import all_similarities
from stsflow.tasks.suites import RetrievalSuite

RECALL_AT = (1, 10, 100)
# Similarities of this many queries with the whole corpus are held at a time.
QUERIES_AT_A_TIME = 256


def score_retrieval(suite: RetrievalSuite, scoring: Scoring) -> SuiteScores:
    """Means over the queries that have a relevant passage; writes `<suite>.parquet`, one row a query.

    Raises EvaluationFailed when no query has one.
    """
    columns = read_columns(scoring.data)
    relevance = judgements(columns["sentence1"], columns["sentence2"], columns["score"])
    if not relevance:
        raise EvaluationFailed(f"the suite {scoring.suite} has no query with a relevant passage (score above 0)")
    queries = list(relevance)
    corpus = list(dict.fromkeys(columns["sentence2"]))
    (asked,) = scoring.embedder.embed(queries, side="query", prompt=suite.query_prompt)
    (passages,) = scoring.embedder.embed(corpus, side="document", prompt=suite.passage_prompt)
    ranked = rank(asked, passages, max(RECALL_AT), scoring.model.similarity_fn_name)
    found = [query_metrics([corpus[i] for i in order], relevance[q]) for q, order in zip(queries, ranked, strict=True)]
    values = {name: np.array([row[name] for row in found]) for name in suite.metrics}
    write_parquet(scoring.pairs_file, {"row": list(range(len(queries))), "query": queries, **values})
    return SuiteScores(
        suite=scoring.suite,
        kind=suite.kind,
        title=suite.title or scoring.data.title,
        split=suite.split or scoring.suite,
        rows=len(queries),
        data_digest=scoring.data.digest,
        model_digest=scoring.model_digest,
        primary=suite.primary,
        metrics={name: float(column.mean()) for name, column in values.items()},
        intervals=scoring.mean_intervals(values),
        pairs=scoring.pairs_file,
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
    return float(sum(gain / np.log2(rank + 1) for rank, gain in enumerate(gains, start=1)))
