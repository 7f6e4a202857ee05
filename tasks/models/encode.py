"""Embeddings of many texts: what the model reads alike once, in batches of equal work, unpadded where possible.

Called in child processes only: it imports PyTorch.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from stsflow.tasks.models.hardware import Precision
from stsflow.tasks.models.padding_free import autocast, disable_padding_free, enable_padding_free, is_padding_free
from stsflow.tasks.records.prompts import Prompts, Side

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

TOKENS_OF_A_ROW = 32
"""A batch of `batch_size` rows has this many tokens for each: short texts come in more rows, long ones in fewer."""

EncodeAlike: TypeAlias = "Callable[[Encoder, TextsAlike, str, Side | None, int], NDArray[np.float32]]"
"""A way to do what `encode_alike` does."""


def encode_alike(
    model: Encoder, alike: TextsAlike, prompt: str, side: Side | None, batch_tokens: int
) -> NDArray[np.float32]:
    """Embeddings of the distinct texts, at least one, in batches of so many tokens; the model runs as it is."""
    rows: NDArray[np.float32] | None = None
    for numbers in batches_by_tokens(alike.lengths, batch_tokens):
        embeddings = embed_batch(model, [alike.distinct[number] for number in numbers], prompt, side)
        if rows is None:
            rows = np.empty((len(alike.distinct), embeddings.shape[1]), dtype=np.float32)
        rows[numbers] = embeddings
    assert rows is not None  # there is at least one text, hence one batch
    return rows


def encode_distinct(
    model: Encoder,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    precision: Precision = "float32",
    padding_free: Literal["auto", "off"] = "auto",
    side: Side | None = None,
    prompt: str | None = None,
    encode: EncodeAlike = encode_alike,
) -> NDArray[np.float32]:
    """Embeddings of `texts` in their order, shape (len(texts), dimension), float32, as `model.encode` gives them.

    With a `side` they are those of `encode_query` and `encode_document`. `prompt` takes the place of the model's own
    one; an empty prompt means none.

    Texts that are the same tokens are encoded once, so that they get the same embedding to the last bit. They are
    sorted by length and a batch holds about `32 x batch_size` tokens, so that neither many short texts nor a few long
    ones decide speed and memory. In float32 the numbers equal `model.encode` up to rounding (1e-5). The model is left
    as it was: its mode, and padded or not. With `padding_free` off it also runs as it is, which spares the check that
    switching it on begins with. `encode` is who encodes the distinct texts: this process, or several together.
    """
    if not texts:
        return np.zeros((0, model.get_embedding_dimension() or 0), dtype=np.float32)
    prompt = own_prompt(model, side) if prompt is None else prompt
    alike = TextsAlike.of(model, texts, prompt)
    with _ready(model, precision, padding_free), torch.inference_mode(), autocast(str(model.device), precision):
        rows = encode(model, alike, prompt, side, batch_size * TOKENS_OF_A_ROW)
    return rows[[alike.number_of[text] for text in texts]]


def own_prompt(model: Encoder, side: Side | None, named: str | None = None) -> str:
    """The prompt that `encode`, `encode_query` or `encode_document` puts before a text when it is given none; with
    `named`, the model's prompt of that name (see `Prompts.of`).
    """
    return Prompts(texts=model.prompts, default=model.default_prompt_name).of(side, named)


@dataclass(frozen=True)
class TextsAlike:
    """Texts by what the model reads: those that are the same tokens stand for one another."""

    distinct: list[str]
    """One text for each sequence of tokens, in order of appearance."""
    lengths: list[int]
    """Tokens of each of them, special tokens included, after the cut."""
    number_of: dict[str, int]
    """For every text the number of the one that stands for it."""
    cut: list[bool]
    """Of each of them, whether the model reads its beginning alone."""

    @classmethod
    def of(cls, model: Encoder, texts: Sequence[str], prompt: str = "") -> TextsAlike:
        """`texts` as `model` reads them behind `prompt`."""
        found, first = cls([], [], {}, []), dict[bytes, int]()
        different = list(dict.fromkeys(texts))
        limit = model.max_seq_length
        for start in range(0, len(different), 4096):
            some = different[start : start + 4096]
            tokens = model[0].tokenizer(
                [prompt + text for text in some], truncation=False, verbose=False, return_attention_mask=False,
                return_token_type_ids=False,
            )  # fmt: skip
            for text, ids in zip(some, tokens["input_ids"], strict=True):
                key = hashlib.blake2b(np.asarray(ids, np.int64).tobytes(), digest_size=16).digest()
                found.number_of[text] = number = first.setdefault(key, len(first))
                if number == len(found.distinct):
                    found.distinct.append(text)
                    found.lengths.append(len(ids) if limit is None else min(len(ids), limit))
                    found.cut.append(limit is not None and len(ids) > limit)
        return found


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
def _ready(model: Encoder, precision: Precision, padding_free: Literal["auto", "off"]) -> Iterator[None]:
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


def embed_batch(model: Encoder, texts: list[str], prompt: str, side: Side | None = None) -> NDArray[np.float32]:
    """Embeddings of the texts behind the prompt, as the one batch that they are; in the mode that the model is in."""
    task = {} if side is None else {"task": side}
    features = model.preprocess(texts, prompt=prompt, **task)
    on_device = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in features.items()
    }
    embeddings = model(on_device, **task)["sentence_embedding"]
    if model.truncate_dim is not None:
        embeddings = embeddings[:, : model.truncate_dim]
    array: NDArray[np.float32] = embeddings.float().cpu().numpy()
    return array
