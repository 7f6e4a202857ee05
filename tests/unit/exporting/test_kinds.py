"""Every kind of export of a real model, against what sentence-transformers says of the same texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from models import SENTENCES, build_tiny_model

from stsflow.tasks.exporting.making import FIXED_TEXTS, Making, write_manifest
from stsflow.tasks.exports import Export, Onnx, OnnxFp16, OnnxInt8, OpenVino, Static, require_exports
from stsflow.tasks.ground.errors import ModelError, PreconditionError, RecipeError
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import Prompts

for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason="the extra `export` is not installed: pip install 'stsflow[export]'")

LONG = " ".join(SENTENCES)
Made = Callable[[Export], Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with prompts, a dense layer and normalisation behind its pooling, cut at 24 tokens."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    place = tmp_path_factory.mktemp("exported")
    loaded = SentenceTransformer(str(build_tiny_model(place / "plain", "xlmr")), device="cpu")
    loaded.append(Dense(32, 24))
    loaded.append(Normalize())
    loaded.prompts, loaded.default_prompt_name = {"query": "query: ", "document": "passage: "}, None
    loaded.max_seq_length = 24
    loaded.save(str(place / "model"), create_model_card=False)
    return place / "model"


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Function that makes an export, and what it is made from, once."""
    known: dict[str, Path] = {}

    def make(export: Export) -> Path:
        key = json.dumps(export.what_it_is)
        if key not in known:
            source = make(export.made_from) if export.made_from else None
            known[key] = folder = tmp_path_factory.mktemp(export.kind) / "export"
            folder.mkdir()
            besides = export.make(Making(model, folder, source, SENTENCES if export.calibrates else ()))
            read = ModelFolder.open(model)
            write_manifest(
                export, folder, model_digest="0", weights_sha256="0",
                prompts=read.own_prompts() if export.takes_prompts else Prompts(),
                max_seq_length=read.own_max_seq_length, similarity="cosine", besides=besides,
            )  # fmt: skip
        return known[key]

    return make


def of_the_library(model: Path, texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return np.asarray(SentenceTransformer(str(model), device="cpu").encode(texts, prompt=""), np.float64)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


@pytest.mark.parametrize(
    ("export", "far"),
    [
        (Onnx(), 1e-6), (OnnxFp16(), 1e-4), (OnnxInt8(), 0.02),
        (OnnxInt8(calibration="static", calibration_texts=8), 0.1),
    ],
    ids=["onnx", "fp16", "int8", "int8-static"],
)  # fmt: skip
def test_an_export_gives_the_models_embeddings(made: Made, model: Path, export: Export, far: float) -> None:
    """Of a batch of texts of any length, one beyond the cut among them, and of one alone."""
    texts = [*SENTENCES, LONG]
    encode, wanted = export.reader(made(export)), of_the_library(model, texts)
    found = encode(texts)
    assert found.shape == (17, 24) and found.dtype == np.float32
    assert 1 - cosines(found.astype(np.float64), wanted).min() < far
    assert 1 - cosines(encode([LONG]).astype(np.float64), wanted[-1:]).min() < far


def test_openvino_gives_them_too(made: Made, model: Path) -> None:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed: pip install 'stsflow[openvino]'")
    found = OpenVino().reader(made(OpenVino()))([*SENTENCES, LONG])
    assert 1 - cosines(found.astype(np.float64), of_the_library(model, [*SENTENCES, LONG])).min() < 1e-6


def test_fewer_dimensions_are_the_first_ones_at_length_one(made: Made, model: Path) -> None:
    found = Onnx(dimensions=7).reader(made(Onnx(dimensions=7)))(list(SENTENCES))
    wanted = of_the_library(model, list(SENTENCES))[:, :7]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(found - wanted).max() < 1e-6


def test_eight_bits_take_less_room_and_the_table_of_words_is_among_them(made: Made) -> None:
    import onnx

    small = onnx.load(str(made(OnnxInt8()) / "model.onnx"))
    large = {one.data_type for one in small.graph.initializer if len(one.dims) == 2 and one.dims[0] > 100}
    assert large and large <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


def static_by_hand(model: Path, texts: list[str], dimensions: int) -> np.ndarray:
    """By sklearn's principal components of what the library makes of each token alone, and by Zipf's law."""
    from sentence_transformers import SentenceTransformer
    from sklearn.decomposition import PCA

    loaded = SentenceTransformer(str(model), device="cpu")
    tokenizer = loaded.tokenizer
    ids = [number for number in range(len(tokenizer)) if number not in tokenizer.all_special_ids]
    alone = [[tokenizer.bos_token_id, number, tokenizer.eos_token_id] for number in ids]
    features = {"input_ids": torch.tensor(alone), "attention_mask": torch.ones(len(ids), 3, dtype=torch.long)}
    with torch.no_grad():
        vectors = loaded(features)["sentence_embedding"].numpy().astype(np.float64)
    shares = np.array([1 / (rank + 1) for rank in range(1, len(ids) + 1)])
    weights = 1e-4 / (1e-4 + shares / shares.sum())
    rows = dict(zip(ids, PCA(dimensions).fit_transform(vectors) * weights[:, None], strict=True))
    read = tokenizer(texts, add_special_tokens=False)["input_ids"]
    means = [np.mean([rows[number] for number in text if number in rows], axis=0) for text in read]
    return np.array(means) / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_static_form_is_the_mean_of_its_tokens(made: Made, model: Path) -> None:
    """Up to the direction of each axis, which means nothing; and other tools read the folder."""
    from sentence_transformers import SentenceTransformer

    folder, texts = made(Static(dimensions=8)), list(SENTENCES)
    found, wanted = Static().reader(folder)(texts), static_by_hand(model, texts, 8)
    assert np.abs(found @ found.T - wanted @ wanted.T).max() < 2e-3  # half precision
    assert np.abs(SentenceTransformer(str(folder), device="cpu").encode(texts) - found).max() < 2e-3
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["prompts"] == {"alike": "", "query": "", "document": ""} and manifest["dimension"] == 8


def test_model2vec_reads_a_static_form(made: Made) -> None:
    model2vec = pytest.importorskip("model2vec", reason="model2vec is not installed")
    folder = made(Static(dimensions=8))
    assert (
        np.abs(
            model2vec.StaticModel.from_pretrained(folder).encode([*SENTENCES])
            - Static().reader(folder)(list(SENTENCES))
        ).max()
        < 2e-3
    )


def test_a_text_without_a_known_token_has_an_embedding_without_length(made: Made) -> None:
    found = Static().reader(made(Static()))(["", "word"])
    assert np.linalg.norm(found, axis=1).round(5).tolist() == [0.0, 1.0]


def test_the_manifest_says_what_the_folder_is_and_what_comes_out(made: Made, model: Path) -> None:
    manifest = json.loads((made(Onnx()) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["prompts"] == {"alike": "query: ", "query": "query: ", "document": "passage: "}
    assert manifest["max_seq_length"] == 24 and manifest["opset"] == 18
    assert manifest["export"] == {"kind": "onnx", "dimensions": None, "opset": 18}
    expected = manifest["expected"]
    assert expected["texts"] == list(FIXED_TEXTS)
    wanted = of_the_library(model, ["query: " + text for text in FIXED_TEXTS])
    assert np.abs(np.array(expected["embeddings"]) - wanted).max() < 1e-6


@pytest.mark.parametrize("architecture", ["gte", "modernbert", "mpnet"])
@pytest.mark.slow
def test_other_architectures_are_exported_too(
    architecture: str, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny_models(architecture)
    Onnx().make(Making(model, tmp_path, None))
    found = Onnx().reader(tmp_path)([*SENTENCES, LONG])
    assert np.abs(found - of_the_library(model, [*SENTENCES, LONG])).max() < 1e-5


def test_a_model_that_leaves_prompts_out_when_it_pools_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(tiny_bert), device="cpu")
    loaded.set_pooling_include_prompt(False)
    loaded.save(str(tmp_path / "model"), create_model_card=False)
    (tmp_path / "export").mkdir()
    with pytest.raises(ModelError, match="leaves the tokens of a prompt out"):
        Onnx().make(Making(tmp_path / "model", tmp_path / "export", None))


def test_what_cannot_be_made_is_refused_before_work_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    base = BaseModelRef(
        name="b", kind="directory", path=Path("b"), revision="0", digest="0", weights_sha256="0", architecture="bert",
        parameters=1, dimension=32, position_limit=None, max_seq_length=8, pooling="keep",
    )  # fmt: skip
    require_exports({"narrow": Onnx(dimensions=32)}, base)
    with pytest.raises(RecipeError, match=r"release\.exports\.narrow\.dimensions: found 33; embeddings of b have 32"):
        require_exports({"narrow": Onnx(dimensions=33)}, base)
    monkeypatch.setattr(OnnxFp16, "needs", ("no_such_package",))
    with pytest.raises(PreconditionError, match=r"no_such_package is not installed; pip install 'stsflow\[export\]'"):
        require_exports({"half": OnnxFp16()}, base)
