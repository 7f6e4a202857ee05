"""Kinds that another package defines go from recipe to card, MLflow and promotion with nothing changed here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_recipe import result_of, stsflow

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

RECIPE = """
name: toy
model:
  source: {{kind: directory, path: {model}, name: example/tiny-bert}}
  max_seq_length: 48
data:
  train:
    neighbours:
      source: {{kind: toy_street, name: Elm Street, houses: 96}}
      shape: {{kind: toy_neighbours}}
training:
  max_steps: 12
  batch_size: 8
  learning_rate: 1e-3
  eval_steps: 6
  losses: {{neighbours: {{kind: toy_closeness, pull: 2.0}}}}
evaluation:
  resamples: 200
  choose_metric: close
  suites:
    gaps-dev: {{kind: toy_gaps, split: dev, source: {{kind: toy_street, name: Oak Lane}}}}
    gaps-test: {{kind: toy_gaps, split: test, source: {{kind: toy_street, name: Mill Road}}}}
release:
  register_as: toy-model
  rules: [{{kind: beats_base}}, {{kind: beats_champion}}, {{kind: toy_modest}}]
"""


@dataclass(frozen=True)
class Finished:
    workspace: Path
    python_path: str
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Finished:
    """A run of kinds that only an installed package brings: a module and the metadata that name it."""
    place = tmp_path_factory.mktemp("toy")
    described = place / "toy_kinds-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-kinds\nVersion: 1\n", encoding="utf-8")
    (described / "entry_points.txt").write_text("[stsflow.kinds]\ntoy = toy_kinds\n", encoding="utf-8")
    (place / "toy_kinds.py").write_bytes(Path(__file__).parents[1].joinpath("fixtures/toy_kinds.py").read_bytes())
    recipe = place / "toy.yaml"
    recipe.write_text(RECIPE.format(model=json.dumps(str(tiny_bert))), encoding="utf-8")
    done = stsflow(place / ".stsflow", "run", str(recipe), "--json", PYTHONPATH=str(place))
    return Finished(place / ".stsflow", str(place), result_of(done))


def test_the_model_learned_what_the_loss_teaches_and_became_champion(finished: Finished) -> None:
    summary = finished.summary
    assert summary["headline"] == "gaps-test/gap"
    # The less the better: the tuned model draws neighbours closer, which the loss asks of it.
    assert summary["metrics"]["tuned/gaps-test/gap"] < summary["metrics"]["base/gaps-test/gap"]
    assert summary["gain"]["high"] < 0
    assert summary["promoted"] is True and "the smallest gap is" in summary["release"], summary["release"]


def test_the_card_tells_of_the_kinds_in_their_own_words(finished: Finished) -> None:
    card = Path(finished.summary["card"]).read_text(encoding="utf-8")
    for said in (
        "Gaps between Neighbours",
        "A gap is one minus the cosine of two neighbours",
        "ClosenessLoss",
        "pull",
        "Elm Street",
    ):
        assert said in card
    assert "the tuned model is better" in card and "its base model: gap" not in card


def test_mlflow_holds_them_as_any_other(finished: Finished) -> None:
    store = Store(Workspace(finished.workspace))
    run = store.run(finished.summary["mlflow_run_id"])
    assert run.data.params["training.losses.neighbours.kind"] == "toy_closeness"
    assert {"base/gaps-test/gap", "tuned/gaps-test/gap", "eval/gaps-dev/close"} <= set(run.data.metrics)
    assert {item.dataset.name for item in run.inputs.dataset_inputs} == {"neighbours", "gaps-dev", "gaps-test"}
    champion = store.registry.alias("toy-model", "champion")
    assert champion is not None and champion.run_id == run.info.run_id


@pytest.mark.slow
def test_the_card_can_be_measured_again(finished: Finished) -> None:
    checked = stsflow(
        finished.workspace, "verify-card", finished.summary["model_dir"], "--json", PYTHONPATH=finished.python_path
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_without_the_package_the_recipe_is_refused(finished: Finished) -> None:
    recipe = finished.workspace.parent / "toy.yaml"
    done = stsflow(finished.workspace, "run", str(recipe))
    assert done.returncode == 2 and "toy_street" in done.stderr
