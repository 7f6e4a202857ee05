"""A training of an adapter: what moves, what is kept, what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from models import SENTENCES
from safetensors.numpy import load_file

from stsflow.tasks.ground.errors import ModelError, PreconditionError
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.models.adapter import SETTINGS, WEIGHTS, add_adapter
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.recipe.sections import AdapterConfig, TrainingConfig
from stsflow.tasks.training import adapted
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.trial import check_hardware, needs_trial

MakeRequest = Callable[..., TrainingRequest]
ADAPTER = {"rank": 4, "target_modules": ["query", "value"]}


@pytest.mark.usefixtures("in_this_process")
def test_only_the_layers_with_an_adapter_move_and_checkpoints_hold_nothing_else(
    request_of: MakeRequest, training_folder: TrainingFolder, small_bert: Path
) -> None:
    request = request_of(adapter=ADAPTER, learning_rate=1e-2, eval_steps=10, epochs=1)
    trained = train_in_child(request, training_folder)
    before, after = (load_file(folder / "model.safetensors") for folder in (small_bert, training_folder.model))
    moved = {name for name in after if after[name].tobytes() != before[name].tobytes()}
    assert before.keys() == after.keys()
    assert moved == {
        f"encoder.layer.{layer}.attention.self.{name}.weight" for layer in (0, 1) for name in ("query", "value")
    }
    by_hand = 2 * 2 * 2 * 4 * 32  # two layers, two matrices of 32 x 32 in each, A and B of rank 4
    assert trained.adapter is not None
    assert (trained.adapter.trained, trained.adapter.layers) == (by_hand, ("query", "value"))
    assert trained.adapter.parameters == by_hand + sum(array.size for array in before.values())
    assert 0 < trained.adapter.difference < 1e-6 and trained.adapter.texts > 50
    assert trained.environment["peft"] and "peft" in request.versions

    (checkpoint, *_) = sorted(training_folder.checkpoints.iterdir())
    assert {WEIGHTS, SETTINGS} <= {path.name for path in checkpoint.iterdir()}
    assert not list(checkpoint.rglob("model.safetensors")) and not list(checkpoint.rglob("*.bin"))
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    moments = [moment for one in state["state"].values() for name, moment in one.items() if name == "exp_avg"]
    assert sum(moment.numel() for moment in moments) == by_hand

    kept = load_file(training_folder.adapter / WEIGHTS)
    assert sum(array.size for array in kept.values()) == by_hand
    name = "encoder.layer.0.attention.self.query"
    low, high = (kept[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    # W + (alpha / rank) B A, with alpha twice the rank where the recipe states none
    expected = before[f"{name}.weight"].astype(np.float64) + 2.0 * high.astype(np.float64) @ low.astype(np.float64)
    assert np.abs(after[f"{name}.weight"] - expected).max() < 1e-6
    assert json.loads((training_folder.adapter / SETTINGS).read_text())["base_model_name_or_path"] == "tiny-bert"


@pytest.mark.usefixtures("in_this_process")
def test_the_fast_levers_stay_on(request_of: MakeRequest, training_folder: TrainingFolder) -> None:
    trained = train_in_child(request_of(adapter=ADAPTER | {"dropout": 0.1}, max_steps=2), training_folder)
    chosen = {lever.name: lever.chosen for lever in trained.levers}
    assert [chosen[name] for name in ("padding_free", "merge_columns", "word_dropout")] == ["on", "on", "on"]


def test_another_adapter_is_another_training(request_of: MakeRequest) -> None:
    sections = ({}, {"adapter": ADAPTER}, {"adapter": ADAPTER | {"rank": 8}}, {"adapter": ADAPTER | {"dora": True}})
    assert len({request_of(**section).fingerprint for section in sections}) == 4
    assert needs_trial(request_of(adapter=ADAPTER)) and not needs_trial(request_of())


@pytest.mark.usefixtures("in_this_process")
def test_a_layer_that_is_not_there_is_said_in_one_sentence(
    request_of: MakeRequest, training_folder: TrainingFolder
) -> None:
    with pytest.raises(PreconditionError, match="BertModel has no linear layer called 'q_proj'; it has: dense, key"):
        train_in_child(request_of(adapter={"target_modules": ["q_proj"]}), training_folder)


def test_merged_weights_that_are_not_the_trained_model_are_refused_and_the_adapter_is_kept(
    request_of: MakeRequest, tmp_path: Path
) -> None:
    """Merging forgets the bias of a matrix that somebody else put there: embeddings then move."""
    request = request_of()
    model = load_encoder(request.base, device="cpu")
    add_adapter(model, AdapterConfig(rank=4), "base")
    hook = model[0].model.encoder.layer[0].attention.self.query.register_forward_hook(lambda *_: _[-1] + 0.5)
    with pytest.raises(ModelError, match=r"the adapter gives embeddings that differ by 0\.\d+ .* at most 0\.0001"):
        adapted.keep_and_merge(request, model, tmp_path / "adapter")
    hook.remove()
    assert (tmp_path / "adapter" / WEIGHTS).is_file()
    assert model.encode(list(SENTENCES)).shape == (len(SENTENCES), 32)


def test_four_bits_and_a_missing_package_are_refused_before_anything_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PreconditionError, match=r"quantise: .* needs a CUDA GPU and bitsandbytes; this machine has no"):
        check_hardware(TrainingConfig(device="cpu", adapter=AdapterConfig(quantise="4bit")))
    check_hardware(TrainingConfig(device="cpu", adapter=AdapterConfig()))
    monkeypatch.setitem(sys.modules, "peft", None)  # as Python itself notes a module that cannot be imported
    with pytest.raises(PreconditionError, match=r"peft is not installed; pip install 'stsflow\[lora\]'"):
        check_hardware(TrainingConfig(device="cpu", adapter=AdapterConfig()))
