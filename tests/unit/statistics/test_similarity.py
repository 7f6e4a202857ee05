"""Similarities of pairs and the ten metrics, by hand, by scipy and by sentence-transformers' own functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from stsflow.tasks.statistics import similarity
from stsflow.tasks.statistics.similarity import pair_similarities, sts_metrics


def test_one_pair_worked_by_hand() -> None:
    found = pair_similarities(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]]))
    assert found["dot"][0] == 8
    assert found["cosine"][0] == pytest.approx(8 / (5 * 2))
    assert found["manhattan"][0] == -5
    assert found["euclidean"][0] == pytest.approx(-math.sqrt(9 + 4))


def test_agrees_with_scipys_distances_over_block_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "ROWS_AT_A_TIME", 7)
    generator = np.random.default_rng(3)
    first, second = generator.normal(size=(2, 40, 16)).astype(np.float32)
    found = pair_similarities(first, second)
    for row, (a, b) in enumerate(zip(first.astype(float), second.astype(float), strict=True)):
        assert found["cosine"][row] == pytest.approx(1 - distance.cosine(a, b), abs=1e-11)
        assert found["manhattan"][row] == pytest.approx(-distance.cityblock(a, b), abs=1e-12)
        assert found["euclidean"][row] == pytest.approx(-distance.euclidean(a, b), abs=1e-12)
        assert found["dot"][row] == pytest.approx(np.dot(a, b), abs=1e-12)


def test_zero_vector_has_cosine_zero() -> None:
    assert pair_similarities(np.zeros((1, 3)), np.ones((1, 3)))["cosine"][0] == 0


def test_identical_vectors_tie_whatever_rounding_makes_of_them() -> None:
    # Without care, a third of such self-similarities are not 1 but one unit in the last place off.
    vectors = np.random.default_rng(11).normal(size=(500, 384)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert set(pair_similarities(vectors, vectors)["cosine"]) == {1.0}
    found = pair_similarities(unit, unit)
    assert {name: set(values) for name, values in found.items()} == {
        "cosine": {1.0}, "dot": {1.0}, "manhattan": {0.0}, "euclidean": {0.0},
    }  # fmt: skip


def test_unit_vectors_have_one_order_by_cosine_and_by_dot_product() -> None:
    vectors = np.random.default_rng(12).normal(size=(2, 400, 384)).astype(np.float32)
    first, second = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    found = pair_similarities(first, second)
    assert np.array_equal(found["cosine"], found["dot"])


def test_pairs_turned_round_tie() -> None:
    first, second = np.random.default_rng(13).normal(size=(2, 200, 384)).astype(np.float32)
    there, back = pair_similarities(first, second), pair_similarities(second, first)
    assert all(np.array_equal(there[name], back[name]) for name in there)


def test_a_suite_of_identical_pairs_has_no_defined_correlation() -> None:
    vectors = np.random.default_rng(14).normal(size=(50, 384)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    metrics = sts_metrics(pair_similarities(unit, unit), np.arange(50) / 50)
    assert all(math.isnan(value) for value in metrics.values())


def test_matrices_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="two matrices of equal shape"):
        pair_similarities(np.zeros((2, 3)), np.zeros((3, 3)))


def test_ten_metrics_and_their_maxima_agree_with_scipy() -> None:
    generator = np.random.default_rng(5)
    gold = generator.integers(0, 6, 200) / 5
    similarities = {name: gold + generator.normal(size=200) for name in ("cosine", "manhattan", "euclidean", "dot")}
    metrics = sts_metrics(similarities, gold)
    expected = {
        f"{kind}_{name}": float(function(values, gold).statistic)
        for name, values in similarities.items()
        for kind, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr))
    }
    for kind in ("pearson", "spearman"):
        expected[f"{kind}_max"] = max(value for name, value in expected.items() if name.startswith(kind))
    assert metrics == pytest.approx(expected, abs=1e-12)
    assert len(metrics) == 10


def test_maximum_passes_over_what_is_not_defined() -> None:
    gold = np.array([0.0, 0.5, 1.0])
    constant = np.ones(3)
    metrics = sts_metrics({"cosine": constant, "manhattan": gold, "euclidean": constant, "dot": -gold}, gold)
    assert math.isnan(metrics["pearson_cosine"])
    assert metrics["pearson_max"] == pytest.approx(1.0)


def test_constant_gold_gives_nan_everywhere() -> None:
    similarities = {name: [0.1, 0.2, 0.3] for name in ("cosine", "manhattan", "euclidean", "dot")}
    metrics = sts_metrics(similarities, [1.0, 1.0, 1.0])
    assert all(math.isnan(value) for value in metrics.values())
