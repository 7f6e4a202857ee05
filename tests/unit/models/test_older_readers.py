"""A saved model holds what servers of other makers look for, and is the same to the library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import POSITIONS, SENTENCES
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from stsflow.tasks.models.admission import admit
from stsflow.tasks.models.kinds import BiEncoder
from stsflow.tasks.models.loading import load_encoder

TEXTS = list(SENTENCES[:6])
FLAGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def text_embeddings_inference_reads(folder: Path) -> dict[str, Any]:
    """What the router of Text Embeddings Inference takes from a folder, by its source (`router/src/lib.rs`, the structs
    `ModelConfig`, `PoolConfig`, `STConfig`, `NewSTConfig`); a field that is missing, or of another type, raises.
    """
    config = json.loads((folder / "config.json").read_text())
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    library = json.loads((folder / "config_sentence_transformers.json").read_text())
    assert (folder / "tokenizer.json").is_file() and (folder / "model.safetensors").is_file()
    required: tuple[tuple[dict[str, Any], str, type], ...] = (
        (config, "architectures", list), (config, "model_type", str), (config, "max_position_embeddings", int),
        (config, "pad_token_id", int), (pooling, "pooling_mode_cls_token", bool),
        (pooling, "pooling_mode_mean_tokens", bool), (settings, "max_seq_length", int), (library, "prompts", dict),
    )  # fmt: skip
    for where, name, kind in required:
        assert type(where[name]) is kind, name
    pool = "cls" if pooling["pooling_mode_cls_token"] else "mean" if pooling["pooling_mode_mean_tokens"] else None
    return {"architecture": config["architectures"][0], "pool": pool, "longest": settings["max_seq_length"]}


@pytest.mark.parametrize(
    ("architecture", "name"),
    [("bert", "BertModel"), ("xlmr", "XLMRobertaModel"), ("mpnet", "MPNetModel"), ("modernbert", "ModernBertModel")],
)
def test_a_saved_folder_holds_what_text_embeddings_inference_reads(
    tiny_models: Callable[[str], Path], tmp_path: Path, architecture: str, name: str
) -> None:
    model = load_encoder(tiny_models(architecture), device="cpu", max_seq_length=48)
    BiEncoder().save(model, tmp_path / "saved")
    assert text_embeddings_inference_reads(tmp_path / "saved") == {"architecture": name, "pool": "mean", "longest": 48}


@pytest.mark.parametrize("mode", ["cls", "mean", "max", "lasttoken", ("mean", "max")])
def test_the_library_reads_the_same_model_and_warns_of_nothing(
    tiny_bert: Path, tmp_path: Path, mode: Any, recwarn: pytest.WarningsRecorder
) -> None:
    model = load_encoder(tiny_bert, device="cpu")
    model[1] = Pooling(32, mode)
    BiEncoder().save(model, tmp_path / "saved")
    recwarn.clear()
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert not [warning for warning in recwarn if issubclass(warning.category, FutureWarning)]
    assert again[1].pooling_mode == mode and again.max_seq_length == model.max_seq_length == POSITIONS
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))
    settings = json.loads((tmp_path / "saved" / "1_Pooling" / "config.json").read_text())
    modes = (mode,) if isinstance(mode, str) else mode
    named = {flag.removesuffix("_token").removesuffix("_tokens") for flag in FLAGS if settings[f"pooling_mode_{flag}"]}
    assert named == set(modes)
    assert admit(tmp_path / "saved").dimension("keep") == 32 * len(modes)
