"""Embeddings in fewer bits: held to sentence-transformers' own and to Hamming distances that are counted."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers.util.quantization import quantize_embeddings

from stsflow.tasks.search.dense import nearest
from stsflow.tasks.search.quantised import Quantised, bytes_of, nearest_in, pairs_in
from stsflow.tasks.search.stored import StoredEmbeddings
from stsflow.tasks.statistics.similarity import pair_similarities

CORPUS = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(5, 24)).astype(np.float32)


def test_int8_is_what_the_library_writes_brought_back() -> None:
    low, high = CORPUS.min(axis=0), CORPUS.max(axis=0)
    written = quantize_embeddings(CORPUS, "int8", ranges=np.stack([low, high])).astype(np.float64)
    expected = low + (written + 128) * (high - low) / 255
    assert Quantised(CORPUS, "int8")[:] == pytest.approx(expected, abs=1e-6)


def test_a_dimension_that_never_changes_is_kept() -> None:
    rows = np.array([[0.5, 1.0], [0.5, 3.0]], np.float32)
    assert Quantised(rows, "int8")[:] == pytest.approx(rows, abs=2 / 255)


def test_the_cosine_of_bits_is_one_minus_two_hamming_distances_by_the_dimension() -> None:
    first, second = (quantize_embeddings(rows, "ubinary") for rows in (CORPUS[:100], CORPUS[100:200]))
    hamming = np.unpackbits(first ^ second, axis=1).sum(axis=1)
    cosines = pair_similarities(*pairs_in(CORPUS[:100], CORPUS[100:200], "binary"))["cosine"]
    assert cosines == pytest.approx(1 - 2 * hamming / 24)


def test_rescored_bits_are_put_in_order_by_the_query_in_float32() -> None:
    # By signs (1, 1) all three are equally near; the query's own numbers tell the second from the first.
    corpus = np.array([[1, -1], [-1, 1], [-1, -1]], np.float32)
    query = np.array([[0.1, 0.9]], np.float32)
    (by_bits,) = nearest_in(query, corpus, 2, "binary")
    (rescored,) = nearest_in(query, corpus, 2, "binary_rescored")
    assert by_bits.ids.tolist() == [[0, 1]]
    assert rescored.ids.tolist() == [[1, 0]]
    assert rescored.scores[0] == pytest.approx([0.8 / np.sqrt(2 * 0.82), -0.8 / np.sqrt(2 * 0.82)])


def test_only_what_the_bits_found_is_rescored() -> None:
    signs = np.where(CORPUS > 0, 1.0, -1.0)
    asked = np.where(QUERIES > 0, 1.0, -1.0)
    (found,) = nearest_in(QUERIES, CORPUS, 3, "binary_rescored", oversampling=4)
    for query, ids in enumerate(found.ids):
        first = np.lexsort((np.arange(300), -(signs @ asked[query])))[:12]
        exact = signs[first] @ QUERIES[query]
        assert ids.tolist() == [int(first[place]) for place in np.lexsort((first, -exact))[:3]]


@pytest.mark.parametrize("precision", ["int8", "binary", "binary_rescored"])
def test_a_corpus_on_the_disk_is_searched_as_one_in_memory(tmp_path, precision) -> None:
    stored = StoredEmbeddings(tmp_path)
    for start in (0, 100, 200):
        stored.append(CORPUS[start : start + 100])
    (in_memory,) = nearest_in(QUERIES, CORPUS, 4, precision)
    (on_disk,) = nearest_in(QUERIES, stored, 4, precision)
    assert in_memory.ids.tolist() == on_disk.ids.tolist()


def test_int8_finds_what_float32_finds_where_embeddings_lie_apart() -> None:
    (whole,) = nearest(CORPUS[:7], CORPUS, 1)
    (small,) = nearest_in(CORPUS[:7], CORPUS, 1, "int8")
    assert whole.ids.tolist() == small.ids.tolist() == [[number] for number in range(7)]


def test_bytes_of_an_embedding() -> None:
    assert [bytes_of(precision, 384) for precision in ("float32", "int8", "binary", "binary_rescored")] == [
        1536, 384, 48, 48,
    ]  # fmt: skip
    assert bytes_of("binary", 9) == 2
