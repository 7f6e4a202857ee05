"""The nearest by embeddings: the same as comparing everything with everything, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stsflow.tasks.search import Nearest, dense
from stsflow.tasks.search.dense import nearest
from stsflow.tasks.statistics import SIMILARITIES


def drawn(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Embeddings of few different values, so that many similarities tie."""
    return np.random.default_rng(seed).integers(-1, 2, (rows, 6)).astype(np.float32)


def by_hand(query: NDArray[np.float32], corpus: NDArray[np.float32], similarity: str) -> list[float]:
    q, c = query.astype(np.float64), corpus.astype(np.float64)
    if similarity == "dot":
        return [float(q @ row) for row in c]
    if similarity == "manhattan":
        return [-float(np.abs(q - row).sum()) for row in c]
    if similarity == "euclidean":
        return [-float(np.sqrt(((q - row) ** 2).sum())) for row in c]
    lengths = [float(np.linalg.norm(q) * np.linalg.norm(row)) for row in c]
    return [float(q @ row) / length if length else 0.0 for row, length in zip(c, lengths, strict=True)]


def whole(queries: NDArray[np.float32], corpus: NDArray[np.float32], k: int, similarity: str = "cosine") -> Nearest:
    blocks = list(nearest(queries, corpus, k, similarity))
    return Nearest(np.concatenate([one.ids for one in blocks]), np.concatenate([one.scores for one in blocks]))


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_the_best_of_blocks_are_the_best_of_all_with_ties_in_the_corpus_order(
    similarity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, corpus = drawn(30), drawn(200, seed=1)
    monkeypatch.setattr(dense, "CORPUS_AT_A_TIME", 7)
    monkeypatch.setattr(dense, "QUERIES_AT_A_TIME", 11)
    found = whole(queries, corpus, 9, similarity)
    for row, query in enumerate(queries):
        scores = [round(score, 9) for score in by_hand(query, corpus, similarity)]
        expected = sorted(range(len(corpus)), key=lambda number, of=scores: (-of[number], number))[:9]
        assert found.ids[row].tolist() == expected
        assert found.scores[row] == pytest.approx([scores[number] for number in expected], abs=1e-8)


def test_a_corpus_with_fewer_texts_than_asked_for_leaves_places_empty() -> None:
    found = whole(np.eye(2, dtype=np.float32), np.array([[0, 1], [1, 0]], np.float32), 4)
    assert found.ids.tolist() == [[1, 0, -1, -1], [0, 1, -1, -1]]
    assert found.scores.tolist() == [[1, 0, -np.inf, -np.inf]] * 2


def test_an_index_finds_what_comparing_everything_finds_with_the_same_scores() -> None:
    pytest.importorskip("usearch")
    corpus = np.random.default_rng(2).normal(size=(2_000, 16)).astype(np.float32)
    queries = corpus[:50] + np.float32(0.1)
    exact = whole(queries, corpus, 5)
    (through,) = nearest(queries, corpus, 5, exact_up_to=1_999)
    shared = [len(set(one) & set(other)) for one, other in zip(exact.ids.tolist(), through.ids.tolist(), strict=True)]
    assert sum(shared) >= 0.98 * exact.ids.size
    same = exact.ids == through.ids
    assert exact.scores[same] == pytest.approx(through.scores[same], abs=1e-12)
