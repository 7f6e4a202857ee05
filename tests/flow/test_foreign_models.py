"""What is no model that may be used is refused by plan, run and evaluate alike: exit code 2 and one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from small_recipe import stsflow, write_small_recipe

from stsflow.flows.evaluate import evaluate_on_file
from stsflow.flows.plan import plan_recipe
from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.tsv"
    file.write_text(
        "sentence1\tsentence2\tscore\n" + "".join(f"a man {n}\ta dog {n % 3}\t{n % 6}\n" for n in range(24))
    )
    return file


def under_other_names(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({f"x.{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def static(folder: Path) -> None:
    """As sentence-transformers saves a static embedding model: no encoder, no config.json."""
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").unlink()


def sparse(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "SparseEncoder"}')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (only_a_pickle, r"pytorch_model\.bin only, a pickle"),
        (static, r"copy is a static embedding model, without an encoder\. Only dense text encoders"),
        (sparse, r"copy is a sparse encoder\. Only dense text encoders"),
    ],
)
def test_plan_and_evaluate_say_the_same(
    copy: Path, pairs: Path, workspace: Workspace, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(copy)
    recipe = RunConfig.from_recipe(write_small_recipe(tmp_path / "recipe.yaml", copy))
    with pytest.raises(ModelError, match=message):
        plan_recipe(recipe, probe=False)
    with pytest.raises(ModelError, match=message):
        evaluate_on_file(str(copy), pairs, ("sentence1", "sentence2", "score"), (0.0, 5.0))
    assert not workspace.root.exists() or not any(workspace.root.rglob("report.json"))


@pytest.mark.slow
def test_random_weights_are_refused_by_plan_run_and_evaluate(copy: Path, pairs: Path, tmp_path: Path) -> None:
    under_other_names(copy)
    recipe = write_small_recipe(tmp_path / "recipe.yaml", copy)
    for arguments in (("plan", recipe, "--no-probe"), ("run", recipe), ("evaluate", copy, "--data", pairs)):
        done = stsflow(tmp_path / "workspace", *map(str, arguments))
        assert done.returncode == 2
        assert "37 are missing and would be random numbers" in done.stderr
        assert "Traceback" not in done.stderr
    assert not any((tmp_path / "workspace").rglob("model.safetensors"))
