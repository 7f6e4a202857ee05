"""A run that trains an adapter: merged weights are released, the adapter lies beside, card and MLflow say what was."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_with_an_adapter_releases_merged_weights_and_keeps_the_adapter(tmp_path: Path, tiny_bert: Path) -> None:
    workspace = tmp_path / ".stsflow"
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    settings = ("--set", "training.adapter={rank: 4, dora: true}", "--set", "training.learning_rate=1e-2")
    done = result_of(stsflow(workspace, "run", str(recipe), "--json", *settings))
    assert done["promoted"] is True
    folder, model = Path(done["run_dir"]), Path(done["model_dir"])
    assert (model / "model.safetensors").is_file() and not list(model.rglob("adapter*"))
    names = {path.name for path in (folder / "training" / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}
    card = (folder / "card" / "README.md").read_text(encoding="utf-8")
    assert "Parameters trained (adapter): 4,032" in card  # 3,584 of the matrices, and the lengths of 12 layers' columns
    assert "Layers with an adapter: dense, key, query, value" in card
    assert "- PEFT: " in card

    store = Store(Workspace(workspace))
    metrics = store.run(done["mlflow_run_id"]).data.metrics
    assert metrics["train/adapter_parameters"] == 4_032
    assert metrics["train/adapter_merge_difference"] < 1e-4
    files = {file.path for file in store.client.list_artifacts(done["mlflow_run_id"], "training/adapter")}
    assert {Path(path).name for path in files} == names
    verified = stsflow(workspace, "verify-card", str(model))
    assert verified.returncode == 0, verified.stdout
