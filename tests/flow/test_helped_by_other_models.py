"""A teacher labels one set, a guide watches the batches of another: from recipe to card and MLflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from models import build_tiny_cross_encoder
from small_recipe import result_of, stsflow

from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.tracking.store import Store

RECIPE = """
name: helped
model:
  source: {{kind: directory, path: {model}, name: example/tiny-bert}}
  max_seq_length: 48
  license: mit
teacher:
  source: {{kind: directory, path: {teacher}, name: example/reranker}}
  license: cc-by-4.0
data:
  train:
    nli:
      source: {{kind: synthetic, task: nli, split: train, rows: 240}}
      shape: {{kind: nli_triplets, premise: premise, hypothesis: hypothesis, label: label}}
    pairs:
      source: {{kind: synthetic, task: nli, split: train, rows: 120}}
      shape: {{kind: pairs, anchor: premise, positive: hypothesis}}
training:
  max_steps: 12
  batch_size: 8
  learning_rate: 1e-3
  eval_steps: 6
  guide:
    source: {{kind: directory, path: {model}, name: example/guide}}
  losses:
    nli: {{kind: margin_mse, similarity: cosine}}
    pairs: {{kind: gist}}
evaluation:
  resamples: 200
  suites:
    sts-dev: {{kind: sts, split: dev, source: {{kind: synthetic, task: sts, split: dev, rows: 60}}}}
    sts-test: {{kind: sts, split: test, source: {{kind: synthetic, task: sts, split: test, rows: 60}}}}
"""


@dataclass(frozen=True)
class Finished:
    recipe: Path
    workspace: Path
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Finished:
    place = tmp_path_factory.mktemp("helped")
    teacher = build_tiny_cross_encoder(place / "teacher")
    recipe = place / "helped.yaml"
    names = {"model": json.dumps(str(tiny_bert)), "teacher": json.dumps(str(teacher))}
    recipe.write_text(RECIPE.format(**names), encoding="utf-8")
    return Finished(recipe, place / ".stsflow", result_of(stsflow(place / ".stsflow", "run", str(recipe), "--json")))


def test_the_card_names_who_helped_and_what_was_said(finished: Finished) -> None:
    card = Path(finished.summary["card"]).read_text(encoding="utf-8")
    for said in (
        "- **Teacher, no part of the model:** example/reranker (digest of its files",
        "- **Guide, no part of the model:** example/guide (digest of its files",
        "* Labelled by the teacher example/reranker: 2 scores a row, from ",
        "| example/reranker (teacher) | cc-by-4.0 | attribution |",
        "MarginMSELoss",
        "GISTEmbedLoss",
    ):
        assert said in card
    metrics = finished.summary["metrics"]
    assert f"| {metrics['teacher/sts-test/spearman_cosine']:.4f} |" in card and "| Tuned | Teacher |" in card
    assert "exposure.differs" not in card  # what was fed is what was planned


def test_the_record_holds_taught_rows_and_locks_the_helpers(finished: Finished) -> None:
    folder = RunFolder(Path(finished.summary["run_dir"]))
    nli, pairs = PreparedData.load(folder.prepared).train
    assert nli.roles.taught == "labels" and nli.teaching is not None and pairs.teaching is None
    locked = folder.recipe.read_text(encoding="utf-8")
    assert locked.count("weights_sha256: null") == 0
    found = Store(Workspace(finished.workspace)).run(finished.summary["mlflow_run_id"]).data
    tags, measured = found.tags, found.metrics
    assert (tags["stsflow.teacher"], tags["stsflow.guide"]) == ("example/reranker", "example/guide")
    assert {"teacher/sts-dev/spearman_cosine", "teacher/sts-test/pearson_cosine"} <= set(measured)
    assert tags["stsflow.teacher_digest"] == nli.teaching.teacher.digest


def test_plan_finds_the_labels_that_the_run_made(finished: Finished) -> None:
    labelled = sorted((finished.workspace / "taught").iterdir())
    done = stsflow(finished.workspace, "plan", str(finished.recipe), "--set", "plan.probe_steps=0")
    assert done.returncode == 0, done.stderr
    assert sorted((finished.workspace / "taught").iterdir()) == labelled and len(labelled) == 1


@pytest.mark.slow
def test_the_card_can_be_measured_again_but_for_what_the_teacher_said(finished: Finished) -> None:
    checked = stsflow(finished.workspace, "verify-card", finished.summary["model_dir"], "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "a teacher labelled nli, and is not asked again here" in checked.stdout
