"""A run that exports: what passes its limits is released with the model, a spoilt form is caught and named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from exports_apart import put_toy_exports, said_without_torch
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.tracking.store import Store

pytestmark = pytest.mark.slow  # the gate itself is tried in tests/unit/exporting/test_stage.py
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: pip install 'stsflow[export]'")


@dataclass(frozen=True)
class Finished:
    workspace: Path
    python_path: str
    summary: dict[str, Any]

    @property
    def run(self) -> Path:
        return Path(self.summary["run_dir"])

    @property
    def card(self) -> str:
        return Path(self.summary["card"]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Finished:
    """Three exports, one of which another package makes, and makes wrongly."""
    place = tmp_path_factory.mktemp("exports")
    put_toy_exports(place)
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    exports = {
        "onnx": {"kind": "onnx"}, "spoilt": {"kind": "toy_scaled"},
        "small": {"kind": "onnx_int8", "limits": {"metric_loss": 0.5}},
    }  # fmt: skip
    recipe.write_text(f"{recipe.read_text(encoding='utf-8')}  exports: {json.dumps(exports)}\n", encoding="utf-8")
    done = stsflow(place / ".stsflow", "run", str(recipe), "--json", PYTHONPATH=str(place))
    return Finished(place / ".stsflow", str(place), result_of(done))


def test_the_spoilt_export_is_caught_and_named_and_the_others_are_released(finished: Finished) -> None:
    said = finished.summary["exports"]
    assert {name: one["released"] for name, one in said.items()} == {"onnx": True, "spoilt": False, "small": True}
    assert "the largest cosine distance to the tuned model is" in said["spoilt"]["said"]
    assert sorted(path.name for path in (finished.run / "exports").iterdir()) == ["exports.json", "onnx", "small"]
    record = Exports.load(finished.run / "exports" / "exports.json")
    assert [one.name for one in record.released] == ["onnx", "small"]
    assert finished.summary["promoted"] is True  # the model itself is none the worse


def test_a_manifest_tells_every_file_by_its_digest(finished: Finished) -> None:
    folder = finished.run / "exports" / "small"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, said in manifest["files"].items():
        path = folder / name
        assert (said["bytes"], said["sha256"]) == (path.stat().st_size, sha256_of_file(path))
    assert [one["shape"] for one in manifest["inputs"]] == [["batch", "sequence"]] * 2
    assert manifest["dimension"] == 32 and len(manifest["expected"]["embeddings"]) == 3


def test_the_card_shows_what_each_costs_and_why_one_is_missing(finished: Finished) -> None:
    assert "## Exports" in finished.card
    assert "| spoilt | toy_scaled | `model.onnx` |" in finished.card and "**not released**" in finished.card
    assert "- spoilt (toy_scaled) is not released: the largest cosine distance" in finished.card
    assert len(re.findall(r"<details><summary>(?:onnx|small) \(SHA-256", finished.card)) == 2
    assert "summary>spoilt" not in finished.card


@pytest.mark.parametrize("name", ["onnx", "small"])
def test_the_snippet_of_the_card_runs_where_there_is_no_torch(finished: Finished, name: str) -> None:
    shown = re.search(rf"<summary>{name} \(.*?```python\n(.*?)\n```", finished.card, re.DOTALL)
    assert shown is not None
    assert re.findall(r"# (\(3, 32\)|True)", shown[1]) == ["(3, 32)", "True"]
    assert said_without_torch(shown[1], finished.run) == ["(3, 32)", "True"]


def test_mlflow_has_the_figures_of_all_and_the_files_of_the_released(finished: Finished) -> None:
    store = Store(Workspace(finished.workspace))
    run = store.run(finished.summary["mlflow_run_id"])
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("export/")}
    assert (tags["export/onnx/released"], tags["export/spoilt/released"]) == ("true", "false")
    assert "cosine distance" in tags["export/spoilt/why_not"] and "export/onnx/why_not" not in tags
    metrics = run.data.metrics
    assert metrics["export/spoilt/max_distance"] > 0.001 > metrics["export/onnx/max_distance"]
    assert metrics["export/small/size_bytes"] < metrics["export/onnx/size_bytes"]
    difference = metrics["export/small/sts-test/spearman_cosine"] - metrics["tuned/sts-test/spearman_cosine"]
    assert metrics["export/small/sts-test/spearman_cosine_difference"] == pytest.approx(difference)
    held = {item.path for item in store.client.list_artifacts(run.info.run_id, "exports")}
    assert held == {"exports/exports.json", "exports/onnx", "exports/small"}


def test_the_card_holds_and_a_changed_figure_of_an_export_does_not(finished: Finished) -> None:
    def verified() -> tuple[int, dict[str, Any]]:
        done = stsflow(finished.workspace, "verify-card", str(finished.run), "--json", PYTHONPATH=finished.python_path)
        return done.returncode, json.loads(done.stdout)

    code, found = verified()
    assert code == 0 and found["holds"], found
    report = finished.run / "exports" / "exports.json"
    whole = report.read_text(encoding="utf-8")
    changed = json.loads(whole)
    changed["items"][1]["figures"]["max_distance"] = 0.0
    report.write_text(json.dumps(changed), encoding="utf-8")
    code, found = verified()
    report.write_text(whole, encoding="utf-8")
    assert code == 3
    assert any("export.spoilt.max_distance" in problem["place"] for problem in found["problems"]), found["problems"]
