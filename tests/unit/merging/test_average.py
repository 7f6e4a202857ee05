"""The average of models' weights, against numpy and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models import build_tiny_model
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.merging.average import average
from stsflow.tasks.merging.worker import MergeSpec, merge
from stsflow.tasks.records.models import BaseModelRef


def folder_of(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"of": path.name}))
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return path


def test_each_number_is_the_weighted_mean_and_all_else_is_the_tuned_models(tmp_path: Path) -> None:
    base = folder_of(tmp_path / "base", {"w": np.float32([[0, 8], [4, -2]]), "ids": np.arange(3)})
    tuned = folder_of(tmp_path / "tuned", {"w": np.float32([[4, 0], [4, 2]]), "ids": np.arange(3)})
    average({base: 0.75, tuned: 0.25}, tmp_path / "mixed")
    mixed = load_file(tmp_path / "mixed" / "model.safetensors")
    assert mixed["w"].tolist() == [[1.0, 6.0], [4.0, -1.0]]  # by hand: base + (tuned - base) / 4
    assert mixed["ids"].tolist() == [0, 1, 2]
    assert json.loads((tmp_path / "mixed" / "config.json").read_text()) == {"of": "tuned"}
    assert load_file(tuned / "model.safetensors")["w"].tolist() == [[4.0, 0.0], [4.0, 2.0]]  # nothing else is touched


def test_both_ends_and_what_is_equal_stay_the_same_to_the_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    one, other, same = (generator.normal(size=(40, 30)).astype(np.float32) for _ in range(3))
    base = folder_of(tmp_path / "base", {"w": one, "frozen": same})
    tuned = folder_of(tmp_path / "tuned", {"w": other, "frozen": same})
    whole = (tuned / "model.safetensors").read_bytes()
    for weight, expected in ((0.0, one), (1.0, other)):
        average({base: 1 - weight, tuned: weight}, tmp_path / f"at-{weight}")
        assert load_file(tmp_path / f"at-{weight}" / "model.safetensors")["w"].tobytes() == expected.tobytes()
    assert (tmp_path / "at-1.0" / "model.safetensors").read_bytes() == whole
    average({base: 0.7, tuned: 0.3}, tmp_path / "mixed")
    mixed = load_file(tmp_path / "mixed" / "model.safetensors")
    assert mixed["frozen"].tobytes() == same.tobytes()
    exact = 0.7 * one.astype(np.float64) + 0.3 * other.astype(np.float64)
    assert np.abs(mixed["w"] - exact).max() < 4 * np.finfo(np.float32).eps * np.abs(exact).max()


def test_the_mean_of_several_is_numpys_in_any_order(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    values = [generator.normal(size=(20, 30)).astype(np.float32) for _ in range(3)]
    folders = [folder_of(tmp_path / str(number), {"w": value}) for number, value in enumerate(values)]
    for name, order in (("one", folders), ("other", folders[::-1])):
        average(dict.fromkeys(order, 1 / 3), tmp_path / name)
    one, other = (load_file(tmp_path / name / "model.safetensors")["w"] for name in ("one", "other"))
    for found in (one, other):
        np.testing.assert_array_max_ulp(found, np.mean(np.float64(values), axis=0).astype(np.float32), maxulp=1)


def test_half_precision_is_averaged_and_rounded_once(tmp_path: Path) -> None:
    values = {"base": torch.tensor([1.0, 100.0]), "tuned": torch.tensor([1.0078125, -3.0])}
    for name, value in values.items():
        (tmp_path / name).mkdir()
        save_torch({"w": value.bfloat16()}, tmp_path / name / "model.safetensors")
    average({tmp_path / "base": 0.5, tmp_path / "tuned": 0.5}, tmp_path / "mixed")
    from safetensors.torch import load_file as load_torch

    found = load_torch(tmp_path / "mixed" / "model.safetensors")["w"]
    assert found.dtype == torch.bfloat16 and found.tolist() == [1.0, 48.5]  # 1.00390625 lies between two, and is even


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"w": np.zeros((2, 3), np.float32), "ids": np.arange(3)}, "the tensor w is float32 (2, 2) in one model"),
        ({"w": np.zeros((2, 2), np.float16), "ids": np.arange(3)}, "float16 (2, 2) in another"),
        ({"w": np.zeros((2, 2), np.float32), "ids": np.arange(1, 4)}, "the tensor ids is not of floating-point"),
        ({"w": np.zeros((2, 2), np.float32)}, "not all of the models have the tensor ids"),
    ],
)
def test_models_that_do_not_belong_together_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], words: str
) -> None:
    base = folder_of(tmp_path / "base", {"w": np.zeros((2, 2), np.float32), "ids": np.arange(3)})
    with pytest.raises(ModelError) as refused:
        average({base: 0.5, folder_of(tmp_path / "tuned", tensors): 0.5}, tmp_path / "mixed")
    assert words in refused.value.message


def test_a_pickle_beside_the_weights_is_refused(tmp_path: Path) -> None:
    folders = [folder_of(tmp_path / name, {"w": np.zeros(2, np.float32)}) for name in ("base", "tuned")]
    (folders[1] / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match=r"has weights in pytorch_model\.bin too"):
        average(dict.fromkeys(folders, 0.5), tmp_path / "mixed")


def test_the_worker_averages_with_the_base_as_the_training_loaded_it(tmp_path: Path) -> None:
    """The base model's files may be in half precision and under other names than what training saves."""
    from sentence_transformers import SentenceTransformer

    one, other = (build_tiny_model(tmp_path / f"m{seed}", "bert", seed=seed) for seed in (1, 2))
    half = SentenceTransformer(str(one), device="cpu").half()
    half.save(str(tmp_path / "half"), create_model_card=False)
    ref = BaseModelRef(
        name="half", kind="directory", path=tmp_path / "half", revision="0", digest="0" * 64, weights_sha256="0" * 64,
        architecture="bert", parameters=1, dimension=32, position_limit=128, max_seq_length=128, pooling="keep",
        language=(), license="",
    )  # fmt: skip
    target = tmp_path / "mixed"
    target.mkdir()
    merge(MergeSpec(base=ref, tuned=(other,), seed=1, targets={0.5: target}))
    loaded = SentenceTransformer(str(target), device="cpu")
    first, second, mixed = (dict(model.named_parameters()) for model in
                            (half.float(), SentenceTransformer(str(other), device="cpu"), loaded))  # fmt: skip
    for name, value in mixed.items():
        assert torch.allclose(value, (first[name] + second[name]) / 2, atol=1e-7), name
