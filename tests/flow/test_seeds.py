"""`stsflow run --seeds N` and `stsflow compare`: what is claimed of a recipe, and what of one set of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> tuple[Path, dict[str, Any]]:
    place = tmp_path_factory.mktemp("seeds")
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    text = recipe.read_text("utf-8").replace("kind: beats_champion, suite: sts-test", "kind: beats_base, claim: recipe")
    recipe.write_text(text.replace("max_steps: 20", "max_steps: 6"), "utf-8")
    done = stsflow(place / ".stsflow", "run", str(recipe), "--seeds", "2", "--json")
    return place / ".stsflow", result_of(done)


def test_the_recipe_is_compared_with_its_base_over_seeds(study: tuple[Path, dict[str, Any]]) -> None:
    _, found = study
    (claim,) = [one for one in found["claims"] if one["suite"] == "sts-test"]
    scores = [run["metrics"]["tuned/sts-test/spearman_cosine"] for run in found["runs"].values()]
    assert claim["seeds"] == [1, 2] and claim["means"][1] == pytest.approx(sum(scores) / 2)
    card = Path(found["released"]["card"]).read_text("utf-8")
    assert "over seeds and rows together, with 2 seeds" in card
    facts = json.loads(Path(found["released"]["card"]).with_name("facts.json").read_text("utf-8"))
    assert facts["evidence"]["seeds"]["claims"] == found["claims"]
    assert "mean of 2 seeds" in found["released"]["release"]


def test_the_card_of_a_study_holds_and_a_forged_claim_does_not(study: tuple[Path, dict[str, Any]]) -> None:
    workspace, found = study
    folder = Path(found["released"]["run_dir"])
    assert stsflow(workspace, "verify-card", str(folder)).returncode == 0
    record = folder / "evaluation" / "recipe.over-seeds.json"
    told = json.loads(record.read_text("utf-8"))
    told["claims"][0]["difference"] += 0.1
    record.write_text(json.dumps(told), "utf-8")
    done = stsflow(workspace, "verify-card", str(folder))
    assert done.returncode == 3 and "spearman_cosine.change" in done.stdout


def test_a_study_is_compared_with_a_run_and_by_name(study: tuple[Path, dict[str, Any]]) -> None:
    workspace, found = study
    single = next(iter(found["runs"].values()))["name"]
    compared = result_of(stsflow(workspace, "compare", single, found["name"], "--json"))
    assert compared["seeds"] == [1, 2] and {one["suite"] for one in compared["differences"]} == {"sts-dev", "sts-test"}
    done = stsflow(workspace, "compare", single, "nothing")
    assert done.returncode == 2 and "no study of seeds and no run 'nothing'" in done.stderr
    assert found["name"] in done.stderr


def test_seeds_trained_side_by_side_have_the_weights_of_those_trained_in_turn(
    study: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    workspace, found = study
    command = ("run", str(workspace.parent / "small.yaml"), "--seeds", "2", "--parallel", "2", "--json")
    done = stsflow(tmp_path / ".stsflow", *command)
    assert result_of(done)["claims"] == found["claims"]
    digests = [
        {json.loads(path.read_text("utf-8"))["model_digest"] for path in place.glob("trainings/*/result.json")}
        for place in (workspace, tmp_path / ".stsflow")
    ]
    assert digests[0] == digests[1] and len(digests[0]) == 2
