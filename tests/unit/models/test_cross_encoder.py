"""A cross-encoder is told by its signs, scores pairs, is loaded where it is asked for, and is no base to train."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import SENTENCES, build_tiny_cross_encoder, build_tiny_model
from safetensors.numpy import load_file, save_file
from sentence_transformers import CrossEncoder as Library
from sentence_transformers import SentenceTransformer

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.kinds import BiEncoder, CrossEncoder
from stsflow.tasks.models.loading import load_helper
from stsflow.tasks.recipe.sections import ModelConfig

ANY = frozenset({"embeddings", "scores"})
FIRSTS, SECONDS = list(SENTENCES[:6]), [*SENTENCES[6:11], SENTENCES[0]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoders") / "bert")


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def fetched(folder: Path, gives: frozenset[str] = ANY, **config: Any) -> Any:
    source = {"kind": "directory", "path": str(folder)}
    section = ModelConfig.model_validate({"source": source} | config)
    return fetch_base_model(section, Workspace(folder.parent / "workspace"), gives=gives)


def edit(file: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(config | values))

    return change


def test_it_is_told_loaded_and_scores_pairs_as_the_library_does(made: Path) -> None:
    ref = fetched(made, max_seq_length=16)
    assert (ref.model_kind, ref.dimension, ref.max_seq_length) == ("cross_encoder", 0, 16)
    model = load_helper(ref, device="cpu")
    found = CrossEncoder().score(model, FIRSTS, SECONDS, batch_size=4, alike=True)
    wanted = Library(str(made), device="cpu", max_length=16).predict(list(zip(FIRSTS, SECONDS, strict=True)))
    assert found.shape == (6,) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert len({round(float(one), 5) for one in found}) == 6


def test_a_bi_encoder_scores_pairs_by_the_cosine_of_their_embeddings(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "bert", "bert")
    model = load_helper(fetched(folder), device="cpu")
    found = BiEncoder().score(model, FIRSTS, SECONDS, batch_size=4, alike=True)
    plain = SentenceTransformer(str(folder), device="cpu")
    a, b = (plain.encode(texts, normalize_embeddings=True) for texts in (FIRSTS, SECONDS))
    np.testing.assert_allclose(found, (a * b).sum(axis=1), atol=1e-5)


def test_a_plain_folder_of_transformers_is_told_by_its_architecture(copy: Path) -> None:
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (copy / name).unlink()
    assert fetched(copy).model_kind == "cross_encoder"


def test_as_a_base_model_it_is_refused_with_what_it_can_be(made: Path) -> None:
    with pytest.raises(ModelError, match=r"is a cross-encoder, which scores pairs .*Only dense text.*can be a teacher"):
        fetched(made, frozenset({"embeddings"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit("config.json", id2label={"0": "a", "1": "b", "2": "c"}), "gives 3 numbers for a pair of texts"),
        (edit("config_sentence_transformers.json", activation_fn="torch.hub.list"), "none of torch.nn's"),
        (edit("config.json", sentence_transformers={"activation_fn": "os.abort"}), "none of torch.nn's"),
        (edit("config.json", sbert_ce_default_activation_function=["torch.nn.Tanh"]), "none of torch.nn's"),
    ],
)
def test_what_it_cannot_be_used_with_is_refused_before_it_is_loaded(
    change: Callable[[Path], None], said: str, copy: Path
) -> None:
    change(copy)
    with pytest.raises(ModelError, match=said):
        fetched(copy)


def test_a_head_without_weights_is_no_random_one(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("classifier")}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    ref = fetched(copy)
    with pytest.raises(ModelError, match=r"2 are missing and would be random numbers \(classifier"):
        load_helper(ref, device="cpu")
