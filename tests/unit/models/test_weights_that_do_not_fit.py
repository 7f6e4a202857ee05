"""No tensor of a model is a random number: what its weights lack, or have too much, is refused by every load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.models.loading import every_tensor_from, load_encoder

Weights = dict[str, torch.Tensor]


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def change(folder: Path, new: Callable[[Weights], Weights]) -> None:
    save_file(new(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def prefixed(weights: Weights) -> Weights:
    return {f"x.{name}": tensor for name, tensor in weights.items()}


def without_layer_1(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if not name.startswith("encoder.layer.1.")}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (prefixed, r"BertModel 37 are missing and would be random numbers \(embeddings\.LayerNorm\.bias, "),
        (lambda _weights: {}, r"num_hidden_layers is 2, but the weights have 0 tensors"),
        (without_layer_1, r"BertModel 16 are missing and would be random numbers \(encoder\.layer\.1\."),
        (
            lambda weights: weights | {"encoder.layer.2.output.dense.bias": torch.ones(32)},
            r"1 have no place in the model \(encoder\.layer\.2\.output\.dense\.bias\)",
        ),
        (
            lambda weights: weights | {"bert.encoder.layer.0.adapter.weight": torch.ones(32)},
            r"1 have no place in the model \(bert\.encoder\.layer\.0\.adapter\.weight\)",
        ),
        (
            lambda weights: weights | {"embeddings.word_embeddings.weight": torch.ones(7, 32)},
            r"1 have another shape \(embeddings\.word_embeddings\.weight \(7, 32\) instead of \(\d+, 32\)\)",
        ),
    ],
)
def test_weights_under_other_names_or_of_another_shape(
    copy: Path, new: Callable[[Weights], Weights], message: str
) -> None:
    # 5 tensors of the embeddings and 16 of each of the two layers.
    change(copy, new)
    with pytest.raises(ModelError, match=message):
        load_encoder(copy, device="cpu")


def test_a_configuration_of_another_architecture(copy: Path) -> None:
    configure(copy, model_type="gpt2", architectures=["GPT2Model"])
    with pytest.raises(ModelError, match=r"GPT2Model .* are missing and would be random numbers \(h\.0\."):
        load_encoder(copy, device="cpu")


def test_a_configuration_with_fewer_layers_drops_weights(copy: Path) -> None:
    configure(copy, num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"16 have no place in the model \(encoder\.layer\.1\."):
        load_encoder(copy, device="cpu")


def test_a_pooler_that_nothing_reads_may_lack_or_lie_unused(copy: Path) -> None:
    texts = ["A man is playing a guitar."]
    expected = load_encoder(copy, device="cpu").encode(texts)
    heads = {"cls.predictions.bias": torch.ones(3), "pooler.dense.weight": torch.ones(32, 32),
             "pooler.dense.bias": torch.ones(32), "embeddings.position_ids": torch.arange(128)}  # fmt: skip
    change(copy, lambda weights: weights | heads)
    assert (load_encoder(copy, device="cpu").encode(texts) == expected).all()
    settings = copy / "sentence_bert_config.json"
    reading = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"modality_config": reading}))
    change(copy, lambda weights: {name: tensor for name, tensor in weights.items() if "pooler" not in name})
    with pytest.raises(ModelError, match=r"2 are missing and would be random numbers \(pooler\.dense\.bias, "):
        load_encoder(copy, device="cpu")


def test_a_tokenizer_without_a_padding_token(copy: Path) -> None:
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": None}))
    with pytest.raises(ModelError, match=r"no padding token, so texts of different length cannot share a batch"):
        load_encoder(copy, device="cpu")


def test_a_checkpoint_that_the_trainer_loads_is_checked_alike(copy: Path) -> None:
    change(copy, without_layer_1)
    with (
        pytest.raises(ModelError, match=r"16 are missing and would be random numbers"),
        every_tensor_from(copy, remote_code=False),
    ):
        SentenceTransformer(str(copy), device="cpu", local_files_only=True)


COMMON = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
          "intermediate_size": 64, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}  # fmt: skip
T5 = {"vocab_size": 320, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


@pytest.mark.parametrize(
    ("name", "configuration", "fields"),
    [
        ("BertForPreTraining", "BertConfig", COMMON),
        ("XLMRobertaForMaskedLM", "XLMRobertaConfig", COMMON),
        ("DebertaV2ForMaskedLM", "DebertaV2Config",
         COMMON | {"relative_attention": True, "position_biased_input": False, "max_position_embeddings": 64}),
        ("AlbertForMaskedLM", "AlbertConfig", COMMON | {"embedding_size": 16}),
        ("ElectraForPreTraining", "ElectraConfig", COMMON | {"embedding_size": 16}),
        ("T5ForConditionalGeneration", "T5Config", T5),
        ("ModernBertForMaskedLM", "ModernBertConfig", COMMON | {"cls_token_id": 2, "sep_token_id": 3}),
        ("Qwen3ForCausalLM", "Qwen3Config", COMMON | {"num_key_value_heads": 2, "head_dim": 8}),
        ("LukeModel", "LukeConfig", COMMON | {"entity_vocab_size": 10, "entity_emb_size": 16}),
    ],
)  # fmt: skip
def test_encoders_with_heads_for_other_tasks_are_loaded(
    tiny_bert: Path, tmp_path: Path, name: str, configuration: str, fields: dict[str, Any]
) -> None:
    whole = getattr(transformers, name)(getattr(transformers, configuration)(**fields))
    whole.save_pretrained(tmp_path / "model")
    for file in tiny_bert.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "model" / file.name)
    ours = load_encoder(tmp_path / "model", device="cpu")[0].model.state_dict()
    theirs = whole.state_dict()
    fitting = [
        key for key in ours if any(other.endswith(key) and torch.equal(ours[key], theirs[other]) for other in theirs)
    ]
    assert {key for key in ours if not key.startswith("pooler.")} <= set(fitting)
