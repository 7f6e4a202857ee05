"""Models load from the disk alone, in float32, with the pooling and length that were asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from sentence_transformers.sentence_transformer.modules.pooling import PoolingMode

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.models.loading import load_encoder


def test_the_folders_own_settings_are_kept(tiny_bert: Path) -> None:
    model = load_encoder(tiny_bert, device="cpu")
    assert model.max_seq_length == 128
    assert model[1].pooling_mode == "mean"


def test_length_and_pooling_can_be_asked_for(tiny_bert: Path) -> None:
    model = load_encoder(tiny_bert, device="cpu", max_seq_length=7, pooling="cls")
    assert model.max_seq_length == 7
    assert [type(module) for module in model][1:] == [Pooling]
    assert model[1].pooling_mode == "cls"
    hidden = model[0](model.preprocess(["기타"]))["token_embeddings"][:, 0]
    assert torch.allclose(model.encode(["기타"], convert_to_tensor=True), hidden)


def with_everything(folder: Path, tiny_bert: Path, *pooling: PoolingMode) -> Path:
    """A model with prompts, a similarity, `pooling`, a smaller Dense layer and unit length."""
    modules = [
        SentenceTransformer(str(tiny_bert), device="cpu")[0], Pooling(32, pooling, include_prompt=False),
        Dense(32 * len(pooling), 16), Normalize(),
    ]  # fmt: skip
    SentenceTransformer(
        modules=modules, device="cpu", prompts={"query": "기타: ", "passage": "피아노: "},
        default_prompt_name="passage", similarity_fn_name="dot",
    ).save(str(folder), create_model_card=False)  # fmt: skip
    return folder


def test_another_pooling_takes_nothing_else_from_the_model(tiny_bert: Path, tmp_path: Path) -> None:
    folder = with_everything(tmp_path / "model", tiny_bert, "cls")
    load_encoder(folder, device="cpu", pooling="mean").save(str(tmp_path / "saved"), create_model_card=False)
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert [type(module).__name__ for module in saved] == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert (saved[1].pooling_mode, saved[1].include_prompt) == ("mean", False)
    assert (saved.prompts["query"], saved.prompts["passage"]) == ("기타: ", "피아노: ")
    assert (saved.default_prompt_name, saved.similarity_fn_name) == ("passage", "dot")


def test_a_pooling_that_the_layer_behind_it_cannot_take_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = with_everything(tmp_path / "model", tiny_bert, "cls", "mean")
    with pytest.raises(ModelError, match=r"mean gives embeddings of 32 numbers, and the module behind .* takes 64"):
        load_encoder(folder, device="cpu", pooling="mean")


def test_half_precision_weights_are_trained_in_full(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "half"))
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"float32"', '"float16"'))
    assert {parameter.dtype for parameter in load_encoder(folder, device="cpu").parameters()} == {torch.float32}


def test_a_plain_encoder_gets_mean_pooling(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "plain"))
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    assert load_encoder(folder, device="cpu")[1].pooling_mode == "mean"
