"""A model folder opens nothing outside of itself, imports nothing of its own choice, and damage is one sentence."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.admission import admit
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.recipe.sections import ModelConfig

Spoil = Callable[[Path], object]
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | changes))


def write(name: str, content: str | bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def set_in(name: str, **changes: Any) -> Spoil:
    return lambda folder: edit(folder / name, **changes)


def module(number: int, **changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "modules.json"
        modules = json.loads(path.read_text())
        modules[number] |= changes
        path.write_text(json.dumps(modules))

    return spoil


def dense(folder: Path, weights: str, **settings: Any) -> None:
    """A dense module behind the pooling, its weights in the file `weights`."""
    path = folder / "modules.json"
    entry = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    path.write_text(json.dumps([*json.loads(path.read_text()), entry]))
    (folder / "2_Dense").mkdir()
    edit(folder / "2_Dense" / "config.json", in_features=32, out_features=32, bias=False, **settings)
    (folder / "2_Dense" / weights).write_bytes(b"")


def link_out(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).rename(folder.parent / "outside")
        (folder / name).symlink_to("../outside")

    return spoil


def into_shards(folder: Path, part: str) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model-00001-of-00001.safetensors")
    names = load_file(folder.parent / "model-00001-of-00001.safetensors")
    edit(folder / "model.safetensors.index.json", weight_map=dict.fromkeys(names, part))


def header(value: object) -> bytes:
    text = (value if isinstance(value, str) else json.dumps(value)).encode()
    return len(text).to_bytes(8, "little") + text


SETTINGS = "sentence_bert_config.json"
PLACES = {
    "a link to the weights": (link_out("model.safetensors"), r"model\.safetensors is a link that leaves the folder"),
    "a link to a module": (link_out("1_Pooling"), r"1_Pooling is a link that leaves the folder, to .*outside"),
    "an index": (lambda folder: into_shards(folder, "../model-00001-of-00001.safetensors"), r"beside their index"),
    "a module path": (module(1, path="../1_Pooling"), r"the module path '\.\./1_Pooling' leaves the folder"),
    "an absolute path": (module(1, path="/etc"), r"the module path '/etc' leaves the folder"),
    "a path that no digest covers": (module(1, path="exports/1_Pooling"), r"lies where cards and exports do"),
    "a pipe": (lambda folder: os.mkfifo(folder / "extra.json"), r"extra\.json is neither a file nor a folder"),
    "an adapter": (set_in("adapter_config.json", base_model_name_or_path="../x"), r"holds an adapter"),
    "other weights": (set_in("config.json", transformers_weights="x.safetensors"), r"names another file for the"),
    "another tokenizer": (set_in(SETTINGS, tokenizer_name_or_path="../x"), r"'tokenizer_name_or_path' is none of the"),
    "a pickle": (lambda folder: dense(folder, "pytorch_model.bin"), r"Dense module in pytorch_model\.bin only"),
    "a checkpoint": (write("shard-00001-model-00001-of-00001.safetensors", ""), r"a distributed checkpoint"),
}  # fmt: skip
CODE = {
    "a module": (module(1, type="evil.Pooling"), r"type 'evil\.Pooling' is not a module of"),
    "a name of the library": (
        module(1, type="sentence_transformers.util.misc.import_from_string"), r"is not a module of"
    ),
    "an activation": (
        lambda folder: dense(folder, "model.safetensors", activation_function="torch.utils.bottleneck.x"),
        r"the activation function 'torch\.utils\.bottleneck\.x' is none of torch\.nn's",
    ),
    "arguments": (
        set_in(SETTINGS, model_args={"trust_remote_code": True}), r"model_args may not set 'trust_remote_code'"
    ),
    "a setting": (set_in(SETTINGS, trust_remote_code=True), r"'trust_remote_code' is none of the settings"),
    "a kernel": (set_in("config.json", attn_implementation="someone/kernel"), r"attention 'someone/kernel' is none of"),
    "a kernel of a part": (
        set_in("config.json", text_config={"_attn_implementation": "a/b"}), r"attention 'a/b' is none of transformers'"
    ),
    "a kernel by arguments": (
        set_in(SETTINGS, model_kwargs={"attn_implementation": "a/b"}), r"attention 'a/b' is none of"
    ),
    "a method": (
        set_in(SETTINGS, modality_config={"text": {"method": "save_pretrained", "method_output_name": "x"}}),
        r"no other method of the model than `forward`",
    ),
    "a tokenizer": (set_in("tokenizer_config.json", tokenizer_class="Trainer"), r"class 'Trainer' is no tokenizer"),
}  # fmt: skip
DAMAGE = {
    **{
        f"config.json: {content[:8]}": (write("config.json", content), r"config\.json (must hold|is nested)")
        for content in ("7", '"text"', "[]", "null", DEEP)
    },
    **{
        f"modules.json: {content[:8]}": (write("modules.json", content), r"modules\.json (must|names no|is nested)")
        for content in ("{}", "7", "null", '["a", "b"]', "[]", "[null]", DEEP)
    },
    "modules without a type": (write("modules.json", '[{"path": "", "name": "0"}]'), r"with `name`, `path` and `type`"),
    "a pooling that is a list": (write("1_Pooling/config.json", "[]"), r"1_Pooling/config\.json must hold a"),
    "settings that are a list": (write(SETTINGS, "[1]"), r"sentence_bert_config\.json must hold a JSON object"),
    "a tokenizer's list": (write("tokenizer_config.json", "[]"), r"tokenizer_config\.json must hold a JSON object"),
    "prompts": (set_in("config_sentence_transformers.json", prompts=["a"]), r"prompts must be an object of texts"),
    "a header that is a list": (write("model.safetensors", header([])), r"damaged: .* invalid type: sequence"),
    "a header without shape": (
        write("model.safetensors", header({"a": {"dtype": "F32", "data_offsets": [0, 4]}})), r"missing field `shape`"
    ),
    "a header without offsets": (
        write("model.safetensors", header({"a": {"dtype": "F32", "shape": [1]}})), r"missing field `data_offsets`"
    ),
    "a deep header": (write("model.safetensors", header(DEEP)), r"damaged: .* invalid JSON in header"),
    "an index that is a list": (
        lambda folder: (
            (folder / "model.safetensors").unlink(), (folder / "model.safetensors.index.json").write_text("[]")
        ),
        r"index\.json must hold a JSON object, not a list",
    ),
    "an index of numbers": (
        lambda folder: (
            (folder / "model.safetensors").unlink(), edit(folder / "model.safetensors.index.json", weight_map={"a": 1})
        ),
        r"has no weight_map that names a file for each tensor",
    ),
    "a million layers": (
        set_in("config.json", num_hidden_layers=1_000_000), r"num_hidden_layers is 1,000,000, but the weights have 39"
    ),
    "a million layers of a part": (
        set_in("config.json", encoder={"num_hidden_layers": 1_000_000}), r"num_hidden_layers is 1,000,000, but"
    ),
    "a text for a number": (set_in("config.json", hidden_size="32"), r"hidden_size must be a whole number"),
    "a number of 5,000 digits": (write("config.json", '{"a": ' + "9" * 5000 + "}"), r"cannot be read as JSON"),
    "UTF-16": (write("config.json", '{"model_type": "bert"}'.encode("utf-16")), r"cannot be read as JSON"),
}  # fmt: skip
KINDS = {
    "sparse": (set_in("config_sentence_transformers.json", model_type="SparseEncoder"), "is a sparse encoder"),
    "sparse pooling": (
        module(1, type="sentence_transformers.sparse_encoder.models.SpladePooling"), "is a sparse encoder"
    ),
    "cross-encoder": (set_in("config_sentence_transformers.json", model_type="CrossEncoder"), "is a cross-encoder"),
    "router": (module(0, type="sentence_transformers.base.modules.router.Router"), "is a router"),
    "clip": (module(0, type="sentence_transformers.models.CLIPModel"), "is a CLIP model"),
    "static": (module(0, type="sentence_transformers.models.StaticEmbedding"), "is a static embedding model"),
    "language model": (set_in(SETTINGS, transformer_task="fill-mask"), "is a masked language model or sparse encoder"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "message"), [
        pytest.param(*case, id=name) for cases in (PLACES, CODE, DAMAGE, KINDS) for name, case in cases.items()
    ]
)  # fmt: skip
def test_a_folder_is_refused_before_anything_of_it_is_loaded(
    copy: Path, workspace: Workspace, spoil: Spoil, message: str
) -> None:
    spoil(copy)
    source = {"kind": "directory", "path": str(copy)}
    for load in (
        lambda: fetch_base_model(ModelConfig.model_validate({"source": source}), workspace),
        lambda: load_encoder(copy, device="cpu"),
    ):
        with pytest.raises(ModelError, match=message) as refused:
            load()
        assert "\n" not in refused.value.message and len(refused.value.message) < 1000


def test_a_plain_cross_encoder_is_named(copy: Path) -> None:
    (copy / "modules.json").unlink()
    edit(copy / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(ModelError, match=r"is a cross-encoder or another classifier \(BertForSequenceClassification\)"):
        admit(copy)


def test_a_recipe_that_allows_code_allows_names_and_not_paths(copy: Path) -> None:
    module(1, type="evil.Pooling")(copy)
    admit(copy, remote_code=True)
    link_out("model.safetensors")(copy)
    with pytest.raises(ModelError, match="is a link that leaves the folder"):
        admit(copy, remote_code=True)


def test_links_of_the_hubs_cache_lead_beside_the_snapshot(copy: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--team--encoder"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    copy.rename(snapshot)
    (repository / "blobs").mkdir()
    (snapshot / "model.safetensors").rename(repository / "blobs" / "abc")
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    admit(snapshot)
    assert load_encoder(snapshot, device="cpu").encode(["a"]).shape == (1, 32)
    (snapshot / "vocab.txt").symlink_to("../../refs/main")
    with pytest.raises(ModelError, match=r"vocab\.txt is a link that leaves the folder"):
        admit(snapshot)


def test_what_models_of_the_library_bring_is_admitted(copy: Path) -> None:
    edit(copy / SETTINGS, max_seq_length=64, do_lower_case=False, tokenizer_args={"padding_side": "left"},
         model_args={"attn_implementation": "eager"})  # fmt: skip
    dense(copy, "model.safetensors", activation_function="torch.nn.modules.activation.Tanh")
    weight = load_file(copy / "model.safetensors")["encoder.layer.0.attention.self.query.weight"]
    save_file({"linear.weight": weight}, copy / "2_Dense" / "model.safetensors")
    (copy / "2_Dense" / "pytorch_model.bin").write_bytes(b"not opened")
    assert load_encoder(copy, device="cpu").encode(["a"]).shape == (1, 32)


def test_weights_in_both_forms_are_those_that_the_library_loads(copy: Path) -> None:
    edit(copy / "model.safetensors.index.json", weight_map={"a": "other.safetensors"})
    assert admit(copy).weights() == (copy / "model.safetensors",)
