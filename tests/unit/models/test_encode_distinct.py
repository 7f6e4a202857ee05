"""Distinct texts are encoded once, in any order and batching, with the numbers of `model.encode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models import SENTENCES
from sentence_transformers import SentenceTransformer

from stsflow.tasks.models.encode import TextsAlike, batches_by_tokens, encode_distinct
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.models.padding_free import enable_padding_free, is_padding_free

TEXTS = [*SENTENCES, SENTENCES[3], " ".join(SENTENCES), "", SENTENCES[0]]


@pytest.mark.parametrize("architecture", ["bert", "xlmr", "gte", "modernbert", "mpnet"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_equals_encode(tiny_models: Callable[[str], Path], architecture: str, batch_size: int) -> None:
    model = load_encoder(tiny_models(architecture), device="cpu")
    expected = model.encode(TEXTS)
    found = encode_distinct(model, TEXTS, batch_size=batch_size)
    assert (found.shape, found.dtype) == ((len(TEXTS), 32), np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_equal_texts_go_through_the_model_once(tiny_bert: Path) -> None:
    model = load_encoder(tiny_bert, device="cpu")
    enable_padding_free(model, "on", "cpu", "float32")
    seen: list[int] = []
    model[0].register_forward_pre_hook(lambda _module, arguments: seen.append(len(arguments[0]["cu_seq_lens_q"]) - 1))
    encode_distinct(model, TEXTS * 3)
    assert sum(seen) == len(set(TEXTS))


def test_the_model_is_left_as_it_was(tiny_bert: Path) -> None:
    model = load_encoder(tiny_bert, device="cpu").train()
    encode_distinct(model, TEXTS)
    assert model.training
    assert not is_padding_free(model)
    assert model[0].config._attn_implementation == "sdpa"


def test_a_default_prompt_is_applied(tiny_bert: Path) -> None:
    model = SentenceTransformer(str(tiny_bert), device="cpu", prompts={"query": "기타: "}, default_prompt_name="query")
    np.testing.assert_allclose(encode_distinct(model, TEXTS), model.encode(TEXTS), rtol=1e-5, atol=1e-5)


def test_no_texts_give_no_rows(tiny_bert: Path) -> None:
    assert encode_distinct(load_encoder(tiny_bert, device="cpu"), []).shape == (0, 32)


def test_bf16_is_near(tiny_gte: Path) -> None:
    model = load_encoder(tiny_gte, device="cpu")
    exact, half = encode_distinct(model, TEXTS), encode_distinct(model, TEXTS, precision="bf16")
    assert half.dtype == np.float32
    assert np.linalg.norm(half - exact) / np.linalg.norm(exact) < 0.02


def test_lengths_are_those_that_the_model_reads(tiny_bert: Path) -> None:
    model = load_encoder(tiny_bert, device="cpu", max_seq_length=10)
    assert TextsAlike.of(model, ["", SENTENCES[0]]).lengths == [2, 10]  # [CLS] [SEP]; cut


def test_texts_of_the_same_tokens_have_the_same_embedding_to_the_last_bit(minilm: Path) -> None:
    # Letter case is nothing to this tokenizer, and each of the two would stand in another batch.
    model = load_encoder(minilm, device="cpu")
    texts = [text for text in SENTENCES[:8] for text in (text, text.upper() + " ")]
    found = encode_distinct(model, [*texts, *SENTENCES], batch_size=1)
    assert np.array_equal(found[0:16:2], found[1:16:2])


def test_batches_stay_within_the_budget_and_hold_every_text_once() -> None:
    lengths = [3, 50, 4, 120, 4, 4, 7, 30]
    batches = list(batches_by_tokens(lengths, 60))
    assert batches == [[3], [1], [7, 6], [2, 4, 5, 0]]
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
