"""Embeddings of many texts: every distinct text once, in batches of about equal work, without padding where possible.

Called in child processes only: it imports PyTorch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from tasks.models.padding_free import (
    Precision,
    autocast,
    disable_padding_free,
    enable_padding_free,
    is_padding_free,
)

TOKENS_OF_A_ROW = 32
"""A batch of `batch_size` rows has this many tokens for each: short texts come in more rows, long ones in fewer."""


def encode_distinct(
    model: SentenceTransformer,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    precision: Precision = "float32",
    padding_free: Literal["auto", "off"] = "auto",
) -> NDArray[np.float32]:
    """Embeddings of `texts` in their order, shape (len(texts), dimension), float32, as `model.encode` gives them.

    Each distinct text is encoded once. Texts are sorted by length and a batch holds about `32 x batch_size` tokens, so
    that neither many short texts nor a few long ones decide speed and memory. In float32 the numbers equal
    `model.encode` up to rounding (1e-5). The model is left as it was: its mode, and padded or not. With `padding_free`
    off it also runs as it is, which spares the check that switching it on begins with.
    """
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return np.zeros((0, model.get_embedding_dimension() or 0), dtype=np.float32)
    lengths = count_tokens(model, distinct)
    rows: NDArray[np.float32] | None = None
    with _ready(model, precision, padding_free), torch.inference_mode(), autocast(str(model.device), precision):
        for numbers in batches_by_tokens(lengths, batch_size * TOKENS_OF_A_ROW):
            embeddings = _embed(model, [distinct[number] for number in numbers])
            if rows is None:
                rows = np.empty((len(distinct), embeddings.shape[1]), dtype=np.float32)
            rows[numbers] = embeddings
    assert rows is not None  # there is at least one text, hence one batch
    place = {text: number for number, text in enumerate(distinct)}
    return rows[[place[text] for text in texts]]


def count_tokens(model: SentenceTransformer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text as the model will read it, special tokens included, after the cut."""
    tokenizer = model[0].tokenizer
    limit = model.max_seq_length
    lengths: list[int] = []
    for start in range(0, len(texts), 4096):
        found = tokenizer(
            list(texts[start : start + 4096]), truncation=limit is not None, max_length=limit,
            return_attention_mask=False, return_token_type_ids=False,
        )  # fmt: skip
        lengths.extend(len(tokens) for tokens in found["input_ids"])
    return lengths


def batches_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Numbers of the texts, longest first, in batches whose padded size stays within `budget` tokens (or of one text).

    The padded size counts, because a model that cannot run without padding pays for it.
    """
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


@contextlib.contextmanager
def _ready(model: SentenceTransformer, precision: Precision, padding_free: Literal["auto", "off"]) -> Iterator[None]:
    """Evaluation mode and padding-free where possible; both are put back."""
    switch = padding_free == "auto" and not is_padding_free(model)
    was_training = model.training
    model.eval()
    if switch:
        enable_padding_free(model, "auto", str(model.device), precision)
    try:
        yield
    finally:
        if switch:
            disable_padding_free(model)
        model.train(was_training)


def _embed(model: SentenceTransformer, texts: list[str]) -> NDArray[np.float32]:
    prompt = model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None
    features = model.preprocess(texts, prompt=prompt)
    on_device = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in features.items()
    }
    embeddings = model(on_device)["sentence_embedding"]
    if model.truncate_dim is not None:
        embeddings = embeddings[:, : model.truncate_dim]
    array: NDArray[np.float32] = embeddings.float().cpu().numpy()
    return array
