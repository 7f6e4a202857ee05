"""The code in the card runs, and both ways give the same embeddings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import SENTENCES, build_tiny_model

from stsflow.tasks.card.render import write_card
from stsflow.tasks.card.usage import ModelModules, read_modules, sentence_transformers_code, transformers_code
from stsflow.tasks.models.kinds import BiEncoder
from stsflow.tasks.records.prompts import Prompts


def run_code(code: str) -> np.ndarray:
    names: dict[str, object] = {}
    exec(compile(code, "card", "exec"), names)
    return np.asarray(names["embeddings"])


@pytest.fixture(scope="session")
def card_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("card") / "model", "bert")


@pytest.mark.parametrize("mode", ["mean", "mean_sqrt_len_tokens", "cls", "max", "lasttoken", ["mean", "cls"]])
@pytest.mark.parametrize("normalize", [False, True])
def test_both_ways_give_the_same_embeddings(card_model: Path, mode: str | list[str], normalize: bool) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    loaded = SentenceTransformer(str(card_model), device="cpu")
    modules = [loaded[0], Pooling(32, mode), *([Normalize()] if normalize else [])]
    folder = card_model.with_name(f"model-{'-'.join(mode) if isinstance(mode, list) else mode}-{normalize}")
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    found = read_modules(folder)
    assert (found.pooling, found.normalize) == ((mode,) if isinstance(mode, str) else tuple(mode), normalize)
    length = loaded.max_seq_length
    alone = transformers_code(str(folder), SENTENCES, length, found, False)
    assert alone is not None
    dimension = 32 * len(found.pooling)
    together = run_code(sentence_transformers_code(BiEncoder(), str(folder), SENTENCES, dimension, Prompts(), False))
    assert together.shape == (len(SENTENCES), dimension)
    np.testing.assert_allclose(run_code(alone), together, atol=2e-6)


@pytest.mark.parametrize("folder_in_the_way", ["kornlu-small", "model"])
def test_the_code_runs_as_the_card_prints_it_in_the_folder_where_the_card_lies(
    records: Any, card_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_in_the_way: str
) -> None:
    folder = tmp_path / "somewhere"
    shutil.copytree(card_model, folder)
    trained = records.trained.model_copy(update={"dimension": 32, "max_seq_length": 128})
    content = records.but(trained=trained, modules=read_modules(folder)).content()
    write_card(content, tmp_path / "card", folder)
    codes = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(codes) == 2
    (folder / folder_in_the_way).mkdir()  # the name of the recipe, as a data folder beside it once was
    monkeypatch.chdir(folder)
    first, second = (run_code(code) for code in codes)
    assert first.shape == (3, 32)
    np.testing.assert_allclose(second, first, atol=2e-6)


@pytest.mark.parametrize("default", [None, "query"])
def test_the_code_of_a_model_with_prompts_runs_and_puts_them_before_the_texts(
    card_model: Path, tmp_path: Path, default: str | None
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(card_model), device="cpu")
    bare = model.encode(SENTENCES)
    model.prompts, model.default_prompt_name = {"query": "한국: ", "document": "A man "}, default
    model.save(str(tmp_path / "model"), create_model_card=False)
    modules = read_modules(tmp_path / "model")
    code = sentence_transformers_code(BiEncoder(), str(tmp_path / "model"), SENTENCES, 32, modules.prompts, False)
    names: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), names)
    texts = [f"한국: {text}" for text in SENTENCES] if default else list(SENTENCES)
    np.testing.assert_allclose(names["embeddings"], model.encode(texts, prompt=""), atol=2e-6)
    assert np.allclose(names["embeddings"], bare, atol=1e-3) == (default is None)
    np.testing.assert_allclose(names["queries"], model.encode([f"한국: {SENTENCES[0]}"], prompt=""), atol=2e-6)
    documents = [f"A man {text}" for text in SENTENCES[1:]]
    np.testing.assert_allclose(names["documents"], model.encode(documents, prompt=""), atol=2e-6)
    alone = transformers_code(str(tmp_path / "model"), SENTENCES, model.max_seq_length, modules, False)
    assert alone is not None
    np.testing.assert_allclose(run_code(alone), names["embeddings"], atol=2e-6)


def test_pooling_without_the_prompt_is_left_to_sentence_transformers(card_model: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(card_model), device="cpu")
    model.set_pooling_include_prompt(False)
    model.save(str(tmp_path / "bare"), create_model_card=False)
    assert read_modules(tmp_path / "bare").others == ()
    model.prompts = {"query": "한국: "}
    model.save(str(tmp_path / "model"), create_model_card=False)
    assert read_modules(tmp_path / "model").others == ("Pooling without the prompt's tokens",)


def test_older_pooling_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 384, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    )
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize", "3_Dense": "Dense"}
    (tmp_path / "modules.json").write_text(
        json.dumps([{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()])
    )
    assert read_modules(tmp_path) == ModelModules(pooling=("mean",), normalize=True, others=("Dense",))


def test_modules_that_transformers_lacks_are_not_papered_over() -> None:
    assert transformers_code("a/b", ["x"], 128, ModelModules(others=("Dense",)), False) is None


def test_remote_code_is_asked_for_only_where_the_model_needs_it() -> None:
    code = sentence_transformers_code(BiEncoder(), "a/b", ["x"], 3, Prompts(), True)
    assert 'SentenceTransformer("a/b", trust_remote_code=True)' in code
    assert "trust_remote_code" not in sentence_transformers_code(BiEncoder(), "a/b", ["x"], 3, Prompts(), False)
