"""Adapters on small models of every architecture: what is trained, what is merged, what peft makes of the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import SENTENCES
from sentence_transformers import SentenceTransformer

from stsflow.tasks.ground.errors import ModelError, RecipeError
from stsflow.tasks.models.adapter import (
    SETTINGS,
    WEIGHTS,
    add_adapter,
    has_adapter,
    layers_of,
    load_adapter,
    merge_adapter,
    parameters_of,
    save_adapter,
)
from stsflow.tasks.models.padding_free import counters, enable_padding_free
from stsflow.tasks.recipe.sections import AdapterConfig

# A layer of the small BERT: query, key, value and the output of attention are 32 x 32, the other two 32 x 64 and back.
SQUARE, OBLONG = 4, 2


def load(folder: Path) -> Any:
    return SentenceTransformer(str(folder), device="cpu")


def embed(model: Any) -> Any:
    return model.encode(list(SENTENCES), normalize_embeddings=True)


def trained(model: Any, seed: int = 5) -> Any:
    """The model as if its adapter had been trained: what can move has moved."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def adapted(folder: Path, **settings: Any) -> Any:
    model = load(folder)
    add_adapter(model, AdapterConfig(**settings), "example/base")
    return model


@pytest.mark.parametrize(("dora", "lengths"), [(False, 0), (True, SQUARE * 32 + 64 + 32)])
def test_only_the_matrices_are_trained_as_many_as_by_hand(tiny_bert: Path, dora: bool, lengths: int) -> None:
    plain = sum(parameter.numel() for parameter in load(tiny_bert).parameters())
    model = adapted(tiny_bert, rank=4, dora=dora)
    by_hand = 2 * (SQUARE * 4 * (32 + 32) + OBLONG * 4 * (32 + 64) + lengths)  # two layers; A and B of each matrix
    assert parameters_of(model) == (by_hand, plain + by_hand)
    assert all("lora_" in name for name, one in model.named_parameters() if one.requires_grad)
    assert layers_of(model) == ("dense", "key", "query", "value")
    few = adapted(tiny_bert, rank=2, target_modules=("query", "value"))
    assert parameters_of(few)[0] == 2 * 2 * 2 * (32 + 32)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("architecture", ["bert", "gte", "modernbert", "xlmr", "mpnet"])
def test_merged_it_is_a_plain_model_with_the_embeddings_of_the_adapter(
    tiny_models: Callable[[str], Path], architecture: str, dora: bool, tmp_path: Path
) -> None:
    base = tiny_models(architecture)
    model = adapted(base, rank=4, dora=dora)
    assert np.abs(embed(model) - embed(load(base))).max() < 1e-6  # nothing changes before it is trained
    apart = embed(trained(model))
    assert np.abs(apart - embed(load(base))).max() > 0.01
    save_adapter(model, tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [SETTINGS, WEIGHTS]
    merge_adapter(model)
    assert not has_adapter(model) and np.abs(embed(model) - apart).max() < 1e-5
    model.save_pretrained(str(tmp_path / "merged"), create_model_card=False)
    again = load(tmp_path / "merged")
    assert (embed(again) == embed(model)).all()
    assert dict(again.named_parameters()).keys() == dict(load(base).named_parameters()).keys()

    from peft import PeftModel

    of_the_library = load(base)
    encoder = of_the_library[0].model
    of_the_library[0].model = PeftModel.from_pretrained(encoder, str(tmp_path / "adapter"))
    assert np.abs(embed(of_the_library) - apart).max() < 1e-6


def test_the_weights_of_a_file_come_back_to_the_bit_and_those_of_another_adapter_are_refused(
    tiny_bert: Path, tmp_path: Path
) -> None:
    one = trained(adapted(tiny_bert, rank=4, dora=True))
    save_adapter(one, tmp_path / "one")
    other = trained(adapted(tiny_bert, rank=4, dora=True), seed=6)
    load_adapter(other, tmp_path / "one")
    for (name, first), (_, second) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(first, second), name
    with pytest.raises(ModelError, match="is not of this adapter"):
        load_adapter(adapted(tiny_bert, rank=4, target_modules=("query",)), tmp_path / "one")


@pytest.mark.parametrize("dora", [False, True])
def test_batches_without_padding_are_exact_with_an_adapter_too(tiny_bert: Path, dora: bool) -> None:
    model = trained(adapted(tiny_bert, rank=4, dora=dora, dropout=0.1)).eval()
    padded = embed(model)
    assert enable_padding_free(model, "on", "cpu", "float32").chosen == "on"
    assert np.abs(embed(model) - padded).max() < 1e-5
    assert counters(model)["flattened_batches"] > 0


def test_the_settings_name_the_base_model_and_no_folder(tiny_bert: Path, tmp_path: Path) -> None:
    save_adapter(adapted(tiny_bert, rank=4, alpha=6.0), tmp_path)
    text = (tmp_path / SETTINGS).read_text(encoding="utf-8")
    settings = json.loads(text)
    assert settings["base_model_name_or_path"] == "example/base" and str(tiny_bert) not in text
    assert (settings["r"], settings["lora_alpha"], settings["peft_type"]) == (4, 6.0, "LORA")


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tiny_bert: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        adapted(tiny_bert, target_modules=("q_proj",))
    assert refused.value.message == (
        "training.adapter.target_modules: BertModel has no linear layer called 'q_proj'; "
        "it has: dense, key, query, value"
    )
