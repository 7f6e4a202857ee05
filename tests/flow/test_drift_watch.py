"""The weekly look at a champion with texts of production: report, MLflow, Prefect's state, exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_recipe import CHECKOUT, environment, result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.drift import DriftReport
from stsflow.tasks.scenes.rows import generate
from stsflow.tasks.tracking.store import Store

pytestmark = pytest.mark.slow

ASSESS = """
import sys
from pathlib import Path
from stsflow.flows.command.terminal import prepare_process
prepare_process()
from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
start_embedded_server()
from stsflow.flows.watch_champion import assess
from stsflow.tasks.recipe.sections import RunConfig
wait_for_embedded_server()
recipe = RunConfig.from_recipe(Path(sys.argv[1]))
for fail_on_drift in (False, True):
    state = assess(recipe, texts=[sys.argv[2]], fail_on_drift=fail_on_drift, return_state=True)
    print(state.type.value, state.message)
"""


def write_texts(path: Path, languages: tuple[str, ...], split: str = "train") -> Path:
    rows = generate("sts", split, 200, languages, 3)
    path.write_text("".join(json.dumps({"text": row["sentence1"]}) + "\n" for row in rows), encoding="utf-8")
    return path


def assessed(recipe: Path, workspace: Path, texts: Path) -> list[str]:
    """How two looks end: one that says what it found, and one that fails on it."""
    done = subprocess.run(
        [sys.executable, "-c", ASSESS, str(recipe), str(texts)], capture_output=True, text=True, timeout=3600,
        env=environment(workspace) | {"PYTHONPATH": str(CHECKOUT)}, cwd=workspace.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("\n")[-2:]


def test_a_champions_texts_are_watched_from_the_recipe_to_mlflow(tmp_path: Path, tiny_bert: Path) -> None:
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    workspace = tmp_path / ".stsflow"
    result_of(stsflow(workspace, "run", str(recipe), "--json"))
    english = write_texts(tmp_path / "english.jsonl", ("en",))
    said, failed = assessed(recipe, workspace, english)
    assert said.startswith("COMPLETED small-model version 1 scores as it did, on 2 suites; retraining is due")
    assert failed.startswith("FAILED") and "small-model version 1: retraining is due" in failed
    reports = [DriftReport.load(path) for path in sorted((workspace / "assessments").rglob("drift.json"))]
    assert len(reports) == 2 and all(report.due and not report.notes for report in reports)
    assert reports[0].reference.source == "training (nli, sts)"
    store = Store(Workspace(workspace))
    run_id = store.registry.at("small-model", "champion").run_id  # type: ignore[union-attr]  # it was promoted
    assert [point.value for point in store.client.get_metric_history(run_id, "drift/due")] == [1.0, 1.0]
    assert store.run(run_id).data.tags["stsflow.retraining"].startswith("retraining is due")
    assert len(store.client.list_artifacts(run_id, "drift")) == 2
    done = stsflow(
        workspace, "drift", "models:/small-model@champion", "--texts", str(english), "--recipe", str(recipe),
        "--fail-on-drift", "--json",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["due"] is True
