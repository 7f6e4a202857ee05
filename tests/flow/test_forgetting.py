"""A guard that training loses stops the release; merged with its base, the model passes, or the curve says why not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import SENTENCES
from safetensors.numpy import load_file
from small_recipe import result_of, stsflow

from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

# Training, dev and test have the scores upside down; the guard has them as any base model does.
RECIPE = """
name: forgetting
model: {{source: {{kind: directory, path: {model}, name: example/tiny-bert}}, max_seq_length: 48}}
data:
  train:
    upside-down: {{source: {{kind: files, paths: [train.tsv]}}, shape: {{kind: scored_pairs}}}}
training: {{max_steps: 40, epochs: 50, batch_size: 8, learning_rate: 3e-3, eval_steps: 20, padding_free: "off"}}
evaluation:
  resamples: 200
  suites:
    dev: {{kind: sts, split: dev, source: {{kind: files, paths: [dev.tsv]}}}}
    test: {{kind: sts, split: test, source: {{kind: files, paths: [test.tsv]}}}}
    home: {{kind: sts, split: test, title: Home, source: {{kind: files, paths: [home.tsv]}}}}
  report_on: test
  guard: {{home: {{margin: 0.05}}}}
release:
  register_as: forgetting
  rules: [{{kind: minimum_score, suite: test, score: -1.0}}]
"""


def write_pairs(path: Path, rows: Iterable[tuple[str, str, int]]) -> None:
    lines = ["sentence1\tsentence2\tscore", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_recipe(folder: Path, model: Path) -> Path:
    """Pairs of a sentence and itself with a word left out, and pairs of two sentences, dealt to four files."""
    alike = [
        (text, " ".join(text.split()[:number] + text.split()[number + 1 :]))
        for text in SENTENCES
        for number in range(len(text.split()))
    ]
    apart = [(one, other) for place, one in enumerate(SENTENCES) for other in SENTENCES[place + 1 :]]
    for number, name in enumerate(("train", "dev", "test", "home")):
        near, far = (0, 5) if name != "home" else (5, 0)
        rows = [(*pair, near) for pair in alike[number::4]] + [(*pair, far) for pair in apart[number::4]]
        write_pairs(folder / f"{name}.tsv", rows)
    recipe = folder / "forgetting.yaml"
    recipe.write_text(RECIPE.format(model=json.dumps(str(model))), encoding="utf-8")
    return recipe


def run(workspace: Path, recipe: Path, *settings: str) -> dict[str, Any]:
    options = [part for setting in settings for part in ("--set", setting)]
    return result_of(stsflow(workspace, "run", str(recipe), "--json", *options))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lost_guard_is_refused_and_merging_brings_it_back(tmp_path: Path, tiny_bert: Path) -> None:
    workspace, recipe = tmp_path / ".stsflow", write_recipe(tmp_path, tiny_bert)
    lost = run(workspace, recipe)
    assert lost["promoted"] is False and lost["guard"]["home"]["holds"] is False
    assert "not promoted: guard: spearman_cosine on home against the base model: -" in lost["release"]

    merged = run(workspace, recipe, "release.merge={weights: [0.02, 0.5]}")
    assert merged["reused"] is True  # merging trains nothing
    assert merged["promoted"] is True and merged["guard"]["home"]["holds"] is True
    assert 0 < merged["merged"] < 1

    store = Store(Workspace(workspace))
    points = store.client.get_metric_history(merged["mlflow_run_id"], "merge/home/spearman_cosine")
    at = {point.step: point.value for point in points}
    assert sorted(at) == [0, 2, 50, 100]
    assert at[0] == merged["metrics"]["base/home/spearman_cosine"]
    assert at[100] == lost["metrics"]["tuned/home/spearman_cosine"]
    assert at[round(100 * merged["merged"])] == merged["metrics"]["tuned/home/spearman_cosine"]

    card, model = Path(merged["card"]), Path(merged["model_dir"])
    assert "### Merged Weights" in card.read_text(encoding="utf-8")
    assert (card.parent / "figures" / "merge-curve.png").is_file()
    facts = json.loads((card.parent / "facts.json").read_text(encoding="utf-8"))
    (digest,) = (item["fact"]["value"] for item in facts["facts"] if item["fact"]["id"] == "model.digest")
    assert digest == sha256_of_model(model) != sha256_of_model(Path(lost["model_dir"]))
    verified = stsflow(workspace, "verify-card", str(model))
    assert verified.returncode == 0, verified.stdout

    refused = run(workspace, recipe, "release.merge={weights: [0.98]}")
    assert refused["promoted"] is False and refused["merged"] == 1.0
    assert sha256_of_model(Path(refused["model_dir"])) == sha256_of_model(Path(lost["model_dir"]))
    told = "no share of it keeps every guard, so that it stays as it was trained"
    assert told in Path(refused["card"]).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_mean_of_two_seeds_is_what_is_released(tmp_path: Path, tiny_bert: Path) -> None:
    workspace, recipe = tmp_path / ".stsflow", write_recipe(tmp_path, tiny_bert)
    told = run(workspace, recipe, "release.merge={seeds: 2, weights: []}", "release.rules=[]")
    trained = [load_file(path) for path in workspace.glob("trainings/*/model/model.safetensors")]
    released = load_file(Path(told["model_dir"]) / "model.safetensors")
    assert len(trained) == 2 and told["merged"] == 1.0
    for name, weights in released.items():
        expected = np.mean([np.float64(one[name]) for one in trained], axis=0).astype(weights.dtype)
        np.testing.assert_array_max_ulp(weights, expected, maxulp=1)
    store = Store(Workspace(workspace))
    points = store.client.get_metric_history(told["mlflow_run_id"], "merge_seeds/dev/spearman_cosine")
    assert [point.step for point in points] == [42, 43]
    again = run(workspace, recipe, "release.merge={seeds: 2, weights: []}", "release.rules=[]")
    same = sha256_of_model(Path(again["model_dir"])) == sha256_of_model(Path(told["model_dir"]))
    assert again["reused"] is True and same
