"""An unsound base model is found before training, with a message that says what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models import SENTENCES
from remote_code import build_remote_code_model
from safetensors.torch import load_file, save_file

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.models.preflight import check_base_model
from stsflow.tasks.models.soundness import faulty_buffers, find_faults
from stsflow.tasks.records.models import BaseModelRef


def reference(folder: Path, **changes: Any) -> BaseModelRef:
    found = ModelFolder.open(folder)
    fields = {
        "name": folder.name, "kind": "directory", "path": folder, "revision": "r", "digest": "d",
        "weights_sha256": found.weights_sha256(), "architecture": found.architecture,
        "parameters": found.parameters(), "dimension": 32, "position_limit": 128, "max_seq_length": 128,
        "pooling": "keep",
    }  # fmt: skip
    return BaseModelRef.model_validate(fields | changes)


def codes(findings: tuple[Any, ...]) -> list[str]:
    return [finding.code for finding in findings]


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def change_weights(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: change(name, tensor) for name, tensor in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip


def test_uninitialised_positions_of_remote_code_are_caught_in_the_child(tiny_bert: Path, tmp_path: Path) -> None:
    folder = build_remote_code_model(tmp_path / "toy", tiny_bert)
    (fault,) = check_base_model(reference(folder, trust_remote_code=True), SENTENCES, Workspace(tmp_path))
    assert (fault.severity, fault.code, fault.subject) == ("error", "model.buffer", "toy")
    assert "position_ids is not saved with the weights and was not filled when the model was loaded" in fault.message
    assert "architecture that transformers has itself" in fault.remedy
    assert "alibaba-nlp-community/gte-multilingual-base" in fault.remedy


def test_the_same_question_is_answered_once(tiny_bert: Path, tmp_path: Path) -> None:
    ref = reference(tiny_bert)
    assert check_base_model(ref, SENTENCES, Workspace(tmp_path)) == ()
    (log,) = (tmp_path / "preflight").glob("*.log")
    log.unlink()
    assert check_base_model(ref, SENTENCES, Workspace(tmp_path)) == ()
    assert not log.exists()


def test_a_child_that_dies_is_a_finding(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stsflow.tasks.models import preflight

    monkeypatch.setattr(preflight, "python_module", lambda _module, _spec: ["/bin/sh", "-c", "echo no memory; exit 7"])
    (fault,) = check_base_model(reference(tiny_bert), SENTENCES, Workspace(tmp_path))
    assert (fault.severity, fault.code) == ("error", "model.check_died")
    assert "exit code 7): no memory" in fault.message


@pytest.mark.parametrize("architecture", ["bert", "gte", "modernbert", "xlmr", "mpnet"])
def test_sound_models_pass(tiny_models: Callable[[str], Path], tmp_path: Path, architecture: str) -> None:
    assert find_faults(reference(tiny_models(architecture)), SENTENCES, tmp_path) == ()


def test_remote_code_that_saves_its_positions_passes(tiny_bert: Path, tmp_path: Path) -> None:
    folder = build_remote_code_model(tmp_path / "toy", tiny_bert, persistent=True)
    assert find_faults(reference(folder, trust_remote_code=True), SENTENCES, tmp_path) == ()


def test_weights_that_are_not_numbers(copy: Path, tmp_path: Path) -> None:
    change_weights(copy, lambda name, tensor: tensor * float("nan") if "word_embeddings" in name else tensor)
    assert "model.not_finite" in codes(find_faults(reference(copy), SENTENCES, tmp_path))


def test_a_model_that_says_the_same_about_everything(copy: Path, tmp_path: Path) -> None:
    change_weights(copy, lambda _name, tensor: torch.zeros_like(tensor) + 1e-3)
    assert "model.constant" in codes(find_faults(reference(copy), SENTENCES, tmp_path))


def test_a_vocabulary_that_does_not_know_the_data(tiny_bert: Path, tmp_path: Path) -> None:
    (fault,) = find_faults(reference(tiny_bert), ["Ωμέγα ξένος κόσμος"], tmp_path)
    assert (fault.severity, fault.code) == ("error", "model.unknown_tokens")
    assert fault.message.startswith("100.0% of the tokens in a sample of 1 texts are unknown")
    (fault,) = find_faults(reference(tiny_bert), [*SENTENCES, "Ω Ξ Ψ"], tmp_path)
    assert fault.severity == "warning"


def test_special_tokens_that_are_not_put(copy: Path, tmp_path: Path) -> None:
    import json

    path = copy / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))
    faults = find_faults(reference(copy), SENTENCES, tmp_path)
    assert codes(faults) == ["model.special_tokens", "model.special_tokens"]
    assert "16 of 16 texts do not begin with the tokenizer's cls token '[CLS]'" in faults[0].message


def test_weights_of_another_vocabulary(copy: Path, tmp_path: Path) -> None:
    import json

    change_weights(copy, lambda name, tensor: tensor[:50].clone() if "word_embeddings" in name else tensor)
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 50}))
    faults = find_faults(reference(copy), SENTENCES, tmp_path)
    assert {"model.vocabulary", "model.does_not_run"} <= set(codes(faults))


def test_a_folder_that_does_not_load(copy: Path, tmp_path: Path) -> None:
    ref = reference(copy)
    (copy / "tokenizer.json").write_text("{")
    (fault,) = find_faults(ref, SENTENCES, tmp_path)
    assert (fault.code, fault.severity) == ("model.does_not_load", "error")
    assert "Check that the folder is complete" in fault.remedy


def test_spoilt_rotary_frequencies(tiny_gte: Path) -> None:
    model = load_encoder(tiny_gte, device="cpu")
    assert list(faulty_buffers(reference(tiny_gte), model)) == []
    with torch.no_grad():
        model[0].model.rotary_emb.inv_freq.copy_(torch.tensor([3e8, 0.0, -1.0, 5.0]))
    (fault,) = faulty_buffers(reference(tiny_gte), model)
    assert "rotary_emb.inv_freq" in fault.message
    assert "rotary frequencies run from 3e+08 to 5" in fault.message


def test_embeddings_that_depend_on_the_batch(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    honest = Pooling.forward

    def without_mask(self: Pooling, features: dict[str, Any]) -> dict[str, Any]:
        return honest(self, features | {"attention_mask": torch.ones_like(features["attention_mask"])})

    monkeypatch.setattr(Pooling, "forward", without_mask)
    faults = find_faults(reference(copy), SENTENCES, tmp_path)
    assert "model.depends_on_padding" in codes(faults)
    assert "Mask or positions" in next(fault.remedy for fault in faults if fault.code == "model.depends_on_padding")


def test_a_base_whose_weights_lack_a_layer_is_refused(copy: Path, tmp_path: Path) -> None:
    weights = {
        name: tensor for name, tensor in load_file(copy / "model.safetensors").items() if ".layer.1." not in name
    }
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    (fault,) = find_faults(reference(copy), SENTENCES, tmp_path)
    assert (fault.severity, fault.code) == ("error", "model.does_not_load")
    assert "16 are missing and would be random numbers (encoder.layer.1." in fault.message


def test_code_that_draws_numbers_when_it_loads(tiny_bert: Path, tmp_path: Path) -> None:
    folder = build_remote_code_model(tmp_path / "drawn", tiny_bert, persistent=True)
    code = folder / "modeling_toy.py"
    code.write_text(
        code.read_text()
        .replace(
            "self.post_init()", "self.noise = torch.rand(config.hidden_size, device='cpu')\n        self.post_init()"
        )
        .replace("self.positions(places)", "self.positions(places) + self.noise")
    )
    faults = find_faults(reference(folder, trust_remote_code=True), SENTENCES, tmp_path)
    assert "model.loading" in codes(faults)
    assert "Loaded twice, the model gives two embeddings for one text" in "".join(fault.message for fault in faults)


def test_a_replaced_pooling_is_said(tiny_bert: Path, tmp_path: Path) -> None:
    (said,) = find_faults(reference(tiny_bert, pooling="cls"), SENTENCES, tmp_path)
    assert (said.severity, said.code) == ("info", "model.pooling_replaced")
    assert said.message == "Its own pooling (mean) is replaced by cls; everything else of it stays."
    assert find_faults(reference(tiny_bert, pooling="mean"), SENTENCES, tmp_path) == ()


def test_the_check_may_take_so_much_memory_and_no_more(tiny_bert: Path, tmp_path: Path) -> None:
    # The libraries alone take more than half a gibibyte; with the limit that a model gets by default this one is sound.
    (fault,) = check_base_model(reference(tiny_bert), SENTENCES, Workspace(tmp_path), memory_bytes=2**29)
    assert (fault.severity, fault.code) == ("error", "model.check_died")
    assert "The check may take 0.5 GiB of memory" in fault.remedy


def test_loading_may_take_so_long_and_no_longer(tiny_bert: Path, tmp_path: Path) -> None:
    # No machine imports the libraries within a tick of the clock.
    (fault,) = check_base_model(reference(tiny_bert), SENTENCES, Workspace(tmp_path), load_seconds=0.1)
    assert (fault.severity, fault.code) == ("error", "model.check_died")
    assert "weights were not loaded within 0.1 s" in fault.message
