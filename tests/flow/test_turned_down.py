"""A person's word against a schedule: the whole command line, a real model, real Prefect, real MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

NAME = "small-model"
SHORT = ("--set", "training.max_steps=4", "--set", "evaluation.resamples=50")
ANOTHER_SEED = ("--set", "training.seed=7")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_rollback_outlives_the_schedule_until_a_person_lets_the_weights_in(tmp_path: Path, tiny_bert: Path) -> None:
    workspace = tmp_path / ".stsflow"
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    lenient = "{kind: minimum_score, suite: sts-test, score: -1.0}"
    text = recipe.read_text(encoding="utf-8").replace("{kind: beats_champion, suite: sts-test}", lenient)
    recipe.write_text(text, encoding="utf-8")

    def champion() -> str:
        return str(Store(Workspace(workspace)).registry.alias(NAME, "champion").version)  # type: ignore[union-attr]

    assert result_of(stsflow(workspace, "run", str(recipe), "--json", *SHORT))["promoted"] is True
    assert result_of(stsflow(workspace, "run", str(recipe), "--json", *SHORT, *ANOTHER_SEED))["model_version"] == "2"
    assert champion() == "2"
    back = stsflow(workspace, "promote", NAME, "--rollback", "--reason", "bad in production")
    assert back.returncode == 0 and "--readmit 2" in back.stdout and champion() == "1"
    for _ in range(2):
        weekly = result_of(stsflow(workspace, "run", str(recipe), "--json", *SHORT, *ANOTHER_SEED))
        assert weekly["promoted"] is False and weekly["model_version"] == "2" and champion() == "1"
        assert "version 2 was rolled back by" in weekly["release"] and "bad in production" in weekly["release"]
    assert stsflow(workspace, "promote", NAME).returncode == 2  # no candidate
    assert stsflow(workspace, "promote", NAME, "--readmit", "2", "--reason", "the fault was elsewhere").returncode == 0
    assert stsflow(workspace, "promote", NAME, "--json").returncode == 0 and champion() == "2"
