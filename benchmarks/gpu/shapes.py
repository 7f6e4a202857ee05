"""Encoders with random weights in the shapes that people fine-tune, and the work that they are in floating point."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = 20_000
MAX_LENGTH = 256


@dataclass(frozen=True)
class Shape:
    """An encoder; the vocabulary counts for memory and for the optimiser."""

    architecture: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int


SHAPES = {
    "minilm": Shape("bert", 6, 384, 12, 1536, 30_522),
    "bert-base": Shape("bert", 12, 768, 12, 3072, 30_522),
    "gte-base": Shape("gte", 12, 768, 12, 3072, 250_048),
}
"""all-MiniLM-L6-v2, BERT-base, and gte-multilingual-base as their configurations state them."""


def build(shape: Shape, device: str, max_length: int = MAX_LENGTH) -> Any:
    """A sentence-transformers model of this shape with random weights, mean pooling, one token for each word."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoder(shape, max_length).save_pretrained(folder)
        tokenizer(max_length).save_pretrained(folder)
        modules = [Transformer(str(folder), max_seq_length=max_length), Pooling(shape.hidden, "mean")]
        return SentenceTransformer(modules=modules, device=device)


def encoder(shape: Shape, max_length: int) -> Any:
    """The Hugging Face model, weights drawn at random."""
    import transformers

    common: dict[str, Any] = {
        "vocab_size": shape.vocabulary, "hidden_size": shape.hidden, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "intermediate_size": shape.intermediate, "pad_token_id": 0,
    }  # fmt: skip
    if shape.architecture == "gte":
        return transformers.GteModel(transformers.GteConfig(**common, max_position_embeddings=8192, type_vocab_size=1))
    return transformers.BertModel(
        transformers.BertConfig(**common, max_position_embeddings=max(512, max_length)), add_pooling_layer=False
    )


def tokenizer(max_length: int) -> Any:
    """Whole words, numbered; `[CLS]` before and `[SEP]` after them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {name: number for number, name in enumerate([*names, *(f"w{n}" for n in range(WORDS))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # the library has no types there
        tokenizer_object=made, model_max_length=max_length, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def operations(model: Any, shape: Shape, lengths: list[int]) -> float:
    """Floating-point operations of forward and backward over texts of `lengths` tokens; padding is no work.

    6 for each weight of a matrix product and token, 12 for each hidden unit, layer and pair of tokens in attention:
    the count of Chowdhery et al., PaLM (2022), appendix B, without recomputation.
    """
    weights: int = sum(
        parameter.numel() for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and "embedding" not in name
    )  # fmt: skip
    return 6.0 * weights * sum(lengths) + 12.0 * shape.layers * shape.hidden * sum(length**2 for length in lengths)


def measured_peak(device: str, size: int, rounds: int = 20) -> float:
    """bf16 matrix operations a second of this device, measured: the best of `rounds` products of size x size."""
    import time

    import torch

    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        synchronise(device)
        started = time.perf_counter()
        for _ in range(5):
            one @ other
        synchronise(device)
        best = min(best, (time.perf_counter() - started) / 5)
    return 2.0 * size**3 / best


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
