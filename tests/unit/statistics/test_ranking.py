"""Measures of rankings: by hand, and as trec_eval (pytrec_eval) gives them, on random judgements and on real ones."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import pytrec_eval
from numpy.typing import NDArray

from stsflow.tasks.search.dense import nearest
from stsflow.tasks.statistics.ranking import Judgements

DEPTHS = (1, 3, 10, 100)
WANTED = [f"{name}_at_{k}" for name in ("ndcg", "mrr", "map", "recall", "precision") for k in DEPTHS]
THEIRS = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}


def by_trec_eval(
    judged: list[tuple[int, int, int]], scores: NDArray[np.float64], similar: NDArray[np.int64]
) -> dict[str, list[float]]:
    """The same measures of each query that has a relevant passage; `scores` are of the passages `similar`.

    trec_eval puts equal scores in descending order of the passages' names, so that names that fall as numbers rise
    give the order of the corpus. Its reciprocal rank looks at a whole ranking: one cut at k is handed to it.
    """
    qrels: dict[str, dict[str, int]] = {}
    for query, passage, relevance in judged:
        known = qrels.setdefault(str(query), {})
        known[named(passage)] = max(relevance, known.get(named(passage), 0))
    qrels = {query: passages for query, passages in qrels.items() if max(passages.values()) > 0}
    order = sorted(qrels, key=int)
    whole = {query: ranking(scores[int(query)], similar[int(query)]) for query in order}
    asked = {f"{theirs}.{k}" for theirs in THEIRS.values() for k in DEPTHS}
    found = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(whole)
    values = {
        f"{name}_at_{k}": [found[query][f"{theirs}_{k}"] for query in order]
        for name, theirs in THEIRS.items()
        for k in DEPTHS
    }
    for k in DEPTHS:
        cut = {query: dict(sorted(run.items(), key=lambda one: (one[1], one[0]))[-k:]) for query, run in whole.items()}
        ranks = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
        values[f"mrr_at_{k}"] = [ranks[query]["recip_rank"] for query in order]
    return values


def named(passage: int) -> str:
    return f"{10**6 - passage:07d}"


def ranking(scores: NDArray[np.float64], passages: NDArray[np.int64]) -> dict[str, float]:
    return {named(int(passage)): float(score) for passage, score in zip(passages, scores, strict=True)}


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_trec_evals_on_random_judgements_with_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    queries, passages, pairs = 40, 150, 700
    judged = np.stack([draw.integers(n, size=pairs) for n in (queries, passages, 4)], axis=1)  # grades 0 to 3
    judged[-20:, :2] = judged[:20, :2]  # pairs that are judged twice, not always alike
    judged[judged[:, 0] == 7, 2] = 0  # a query without a relevant passage
    scores = draw.integers(0, 12, size=(queries, passages)) / 8.0  # a dozen values: most ranks are ties
    ranked = np.argsort(-scores, axis=1, kind="stable")

    found = Judgements.of(judged[:, 0], judged[:, 1], judged[:, 2] / 3.0)
    values = found.measures(ranked[found.asked, :100], WANTED)

    everything = np.tile(np.arange(passages), (queries, 1))
    expected = by_trec_eval([tuple(row) for row in judged.tolist()], scores, everything)
    assert 7 not in found.asked and len(found.asked) == len(expected["ndcg_at_1"]) > 30
    for name in WANTED:
        assert values[name] == pytest.approx(expected[name], abs=1e-9), name
    assert 0 < values["ndcg_at_10"].mean() < 1


@pytest.mark.realdata
def test_measures_equal_trec_evals_on_paraphrases_of_real_questions(parakqc: list[tuple[int, str]]) -> None:
    rows = parakqc[:1500]
    texts = [text for _, text in rows]
    bigrams = {pair: number for number, pair in enumerate(sorted({p for t in texts for p in pairwise(t)}))}
    counts = np.zeros((len(texts), len(bigrams)), np.float32)
    for row, text in enumerate(texts):
        for pair in pairwise(text):
            counts[row, bigrams[pair]] += 1
    groups = np.array([group for group, _ in rows])
    asked = np.arange(0, len(rows), 10)
    judged = [
        (row, int(other), 1)
        for row, query in enumerate(asked)
        for other in np.flatnonzero(groups == groups[query])
        if other != query
    ]
    (found,) = nearest(counts[asked], counts, 100)
    ranked = found.ids

    columns = np.array(judged)
    values = Judgements.of(columns[:, 0], columns[:, 1], columns[:, 2].astype(float)).measures(ranked, WANTED)

    places = np.tile(-np.arange(100.0), (len(asked), 1))  # their order is ours: similarities are not exact in float32
    expected = by_trec_eval(judged, places, ranked)
    for name in WANTED:
        assert values[name] == pytest.approx(expected[name], abs=1e-9), name
    assert 0.3 < values["ndcg_at_10"].mean() < 0.9


def test_measures_of_one_ranking_worked_by_hand() -> None:
    # Relevant are passages 1 (1.0) and 3 (0.5); ranked 0, 1, 2, 3: gains 0, 1, 0, .5 at discounts log2 of 2, 3, 4, 5.
    judged = Judgements.of(np.array([0, 0]), np.array([3, 1]), np.array([0.5, 1.0]))
    found = judged.measures(
        np.array([[0, 1, 2, 3]]), ["ndcg_at_10", "mrr_at_10", "map_at_3", "recall_at_1", "recall_at_9"]
    )
    ideal = 1 / math.log2(2) + 0.5 / math.log2(3)
    assert {name: value.tolist() for name, value in found.items()} == {
        "ndcg_at_10": [pytest.approx((1 / math.log2(3) + 0.5 / math.log2(5)) / ideal)], "mrr_at_10": [1 / 2],
        "map_at_3": [1 / 2 / 2], "recall_at_1": [0.0], "recall_at_9": [1.0],
    }  # fmt: skip


def test_relevant_passage_beyond_the_first_ten_counts_where_more_are_looked_at() -> None:
    judged = Judgements.of(np.array([0]), np.array([10]), np.array([1.0]))
    found = judged.measures(np.arange(50)[None], ["ndcg_at_10", "mrr_at_10", "recall_at_10", "recall_at_100"])
    assert [value.tolist() for value in found.values()] == [[0], [0], [0], [1]]


def test_places_of_a_ranking_that_hold_nothing_count_as_not_relevant() -> None:
    judged = Judgements.of(np.array([0, 1]), np.array([9, 0]), np.array([1.0, 1.0]))
    found = judged.measures(np.array([[3, -1], [-1, -1]]), ["recall_at_2", "ndcg_at_2"])
    assert [value.tolist() for value in found.values()] == [[0, 0], [0, 0]]


def test_queries_without_a_relevant_passage_are_left_out_and_the_highest_judgement_counts() -> None:
    found = Judgements.of(np.array([4, 4, 6, 4]), np.array([0, 0, 0, 2]), np.array([0.5, 1.0, 0.0, 0.0]))
    assert (found.asked.tolist(), found.passages.tolist(), found.relevance.tolist()) == ([4], [0], [1.0])
