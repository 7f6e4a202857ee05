"""How long a text a model reads: ours against the loaded model, over every small architecture at hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models import SENTENCES
from sentence_transformers import SentenceTransformer

from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.models.length import NO_LENGTH, architecture, own_length, position_limit
from stsflow.tasks.models.loading import load_encoder

ROWS = 40
"""Positions in the configuration of every small model."""
ENCODERS = (
    "albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert",
    "electra", "ernie", "esm", "eurobert", "flaubert", "fnet", "gpt2", "gte", "ibert", "jina_embeddings_v3", "layoutlm",
    "longformer", "luke", "megatron-bert", "mobilebert", "modernbert", "mpnet", "mra", "mt5", "nomic_bert",
    "nystromformer", "openai-gpt", "opt", "qwen3", "rembert", "roberta", "roberta-prelayernorm", "roformer", "splinter",
    "squeezebert", "t5", "umt5", "xlm", "xlm-roberta", "xlm-roberta-xl", "yoso",
)  # fmt: skip
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "dim", "n_embd", "embedding_size", "emb_dim", "true_hidden_size"), 16),
    **dict.fromkeys(("word_embed_proj_dim", "entity_emb_size", "intra_bottleneck_size"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_decoder_layers"), 1),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_heads", "num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "attention_head_size"), 8),
    **dict.fromkeys(("intermediate_size", "d_ff", "hidden_dim", "ffn_dim", "mlp_dim"), 32),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), ROWS),
    "vocab_size": 99, "entity_vocab_size": 20, "attention_window": 4, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip


def small_encoder(model_type: str) -> Any:
    """A random model of one layer; of an encoder-decoder its encoder."""
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    made = CONFIG_MAPPING[model_type]
    common = made()
    config = made(**{name: value for name, value in SMALL.items() if hasattr(common, name)})
    model = AutoModel.from_config(config).eval()
    return model.get_encoder() if config.is_encoder_decoder else model


def takes(model: Any, tokens: int) -> bool:
    """Whether the model runs on so many tokens."""
    ids = torch.full((1, tokens), 5)
    try:
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (IndexError, RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("model_type", ENCODERS)
def test_the_positions_allow_what_the_model_takes(model_type: str) -> None:
    model = small_encoder(model_type)
    limit = position_limit(json.loads(model.config.to_json_string()))
    if limit is None:
        assert takes(model, 3 * ROWS)
        return
    assert takes(model, limit)
    assert limit == ROWS or not takes(model, limit + 1)  # rotary models take more than they say


@pytest.mark.parametrize(
    "model_type", ["roberta", "xlm-roberta", "mpnet", "luke", "bert", "t5", "gpt2", "data2vec-text"]
)
def test_fields_that_config_json_leaves_out_are_the_librarys(model_type: str) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    full = CONFIG_MAPPING[model_type]()
    known = architecture(model_type)
    assert known is not None
    stated = getattr(full, "max_position_embeddings", None)
    offset = (full.pad_token_id or 0) + 1 if known.from_padding else 0
    assert position_limit({"model_type": model_type}) == (None if stated is None else stated - offset)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "t5", "n_positions": 512}, None),
        ({"model_type": "gpt2", "n_positions": 77}, 77),
        ({"model_type": "xlnet", "max_position_embeddings": -1}, None),
        ({"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": False}, None),
        ({"model_type": "deberta-v2", "max_position_embeddings": 512}, 512),
        ({"model_type": "luke", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "flaubert", "max_position_embeddings": 512, "pad_token_id": 2}, 512),
        ({"model_type": "esm", "max_position_embeddings": 1026, "position_embedding_type": "rotary"}, 1026),
        ({"model_type": "of-its-own", "max_position_embeddings": 300}, 300),
        ({"model_type": "of-its-own"}, None),
    ],
)  # fmt: skip
def test_position_limits_of_published_configurations(config: dict[str, Any], expected: int | None) -> None:
    assert position_limit(config) == expected


def test_nothing_that_limits_is_no_limit() -> None:
    assert own_length({"model_type": "t5"}, {}, {"model_max_length": 1e30}) == NO_LENGTH


CASES: dict[str, dict[str, dict[str, Any]]] = {
    "settings": {"sentence_bert_config.json": {"max_seq_length": 77}},
    "an older name of the settings": {
        "sentence_bert_config.json": {}, "sentence_roberta_config.json": {"max_seq_length": 66},
    },
    "the first settings that say anything": {
        "sentence_bert_config.json": {"do_lower_case": False}, "sentence_xlnet_config.json": {"max_seq_length": 9},
    },
    "tokenizer arguments": {"sentence_bert_config.json": {"tokenizer_args": {"model_max_length": 55}}},
    "tokenizer arguments before settings": {
        "sentence_bert_config.json": {"max_seq_length": 77, "processor_kwargs": {"model_max_length": 44}},
    },
    "the tokenizer": {"sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 33}},
    "a tokenizer with any length": {
        "sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 1e30},
    },
    "settings without a length": {"sentence_bert_config.json": {"max_seq_length": None}},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["bert", "xlmr"])
def test_a_length_is_read_where_the_library_reads_it(
    tiny_models: Callable[[str], Path], tmp_path: Path, case: str, kind: str
) -> None:
    folder = Path(shutil.copytree(tiny_models(kind), tmp_path / "model"))
    for name, change in CASES[case].items():
        file = folder / name
        keep = json.loads(file.read_text(encoding="utf-8")) if name == "tokenizer_config.json" else {}
        file.write_text(json.dumps(keep | change), encoding="utf-8")
    library, ours = SentenceTransformer(str(folder), device="cpu").max_seq_length, load_encoder(folder, device="cpu")
    found = ModelFolder.open(folder)
    assert found.own_max_seq_length == ours.max_seq_length == min(library, 128)
    ours.encode([" ".join(SENTENCES * 9)])


@pytest.mark.parametrize("kind", ["bert", "gte", "modernbert", "xlmr", "mpnet"])
def test_a_plain_encoder_is_read_by_its_tokenizer_and_its_positions(
    tiny_models: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    folder = Path(shutil.copytree(tiny_models(kind), tmp_path / "plain"))
    (folder / "modules.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}', encoding="utf-8")  # nobody reads it
    library = SentenceTransformer(str(folder), device="cpu").max_seq_length
    found = ModelFolder.open(folder)
    assert found.own_max_seq_length == load_encoder(folder, device="cpu").max_seq_length
    assert library - found.own_max_seq_length == (2 if kind in ("xlmr", "mpnet") else 0)
