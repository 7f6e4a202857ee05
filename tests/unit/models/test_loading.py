"""Models load from the disk alone, in float32, with the pooling and length that were asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.sentence_transformer.modules import Pooling

from tasks.models.loading import load_encoder


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
