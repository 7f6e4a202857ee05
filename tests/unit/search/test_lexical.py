"""The nearest by words: bm25s's own scores, in an order that does not depend on its selection."""

from __future__ import annotations

import math

import bm25s
import numpy as np
import pytest

from stsflow.tasks.search.lexical import K1, B, LexicalIndex, tokens_of

TEXTS = ["서울은 비가 온다", "부산에는 눈이 온다", "서울에서 비를 맞다", "the cat sat", "the dog sat", "", "!!"]


def test_words_are_tokens_and_cjk_words_are_pairs_of_characters() -> None:
    assert tokens_of("서울에서 비 Ｔhe cat-2") == ["서울", "울에", "에서", "비", "the", "cat", "2"]
    assert tokens_of("iPhone으로 東京都") == ["iphone", "으로", "東京", "京都"]
    assert tokens_of("…!") == []


def test_korean_words_are_found_whatever_their_particles() -> None:
    (found,) = LexicalIndex(TEXTS).nearest(["서울을 떠나다"], 3)
    assert sorted(found.ids[0].tolist()) == [-1, 0, 2]


def test_a_score_is_the_formula_of_lucene() -> None:
    scores = LexicalIndex(TEXTS).scores("cat")
    idf = math.log(1 + (len(TEXTS) - 1 + 0.5) / (1 + 0.5))
    mean = sum(len(tokens_of(text)) for text in TEXTS) / len(TEXTS)
    assert scores[3] == pytest.approx(idf / (1 + K1 * (1 - B + B * 3 / mean)), rel=1e-6)
    assert np.flatnonzero(scores).tolist() == [3]


def test_scores_are_those_of_bm25s_alone() -> None:
    alone = bm25s.BM25(k1=K1, b=B, method="lucene")
    alone.index([tokens_of(text) for text in TEXTS], show_progress=False)
    for query in ("서울은 눈이 온다", "the the dog", "온다"):
        assert LexicalIndex(TEXTS).scores(query).tolist() == alone.get_scores(tokens_of(query)).tolist()


def test_ties_come_in_the_order_of_the_corpus_and_nothing_without_a_shared_token_is_found() -> None:
    index = LexicalIndex(["a b", "c d", "b a", "a b", "a a"])
    (found,) = index.nearest(["b", "nothing", "!"], 2)
    assert found.ids.tolist() == [[0, 2], [-1, -1], [-1, -1]]
    assert LexicalIndex(["", "?"]).scores("a").tolist() == [0, 0]
