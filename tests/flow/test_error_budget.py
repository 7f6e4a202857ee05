"""Looks at a test set through the whole command line: a real model, real Prefect, real MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

NAME = "small-model"
SHORT = ("--set", "training.max_steps=4", "--set", "evaluation.resamples=50")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_week_is_a_look_whatever_the_suite_is_called_and_card_history_and_mlflow_say_so(
    tmp_path: Path, tiny_bert: Path
) -> None:
    workspace = tmp_path / ".stsflow"
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)

    def week(*settings: str) -> dict[str, object]:
        return result_of(stsflow(workspace, "run", str(recipe), "--json", *SHORT, *settings))

    assert week()["promoted"] is True  # nobody to compare with: no look
    assert "(look 1 at these rows;" in str(week("--set", "training.seed=7")["release"])
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("sts-test", "renamed-test"), encoding="utf-8")
    third = week("--set", "training.seed=8")
    assert "(look 2 at these rows;" in str(third["release"])
    card = " ".join(Path(str(third["card"])).read_text(encoding="utf-8").split())
    assert "had looked at the rows of renamed-test when this card was written: 1; 98.08 % of their" in card
    metrics = Store(Workspace(workspace)).run(str(third["mlflow_run_id"])).data.metrics
    assert metrics["looks/renamed-test/number"] == 2
    assert metrics["looks/renamed-test/level"] == pytest.approx(0.05 / 52)
    again = stsflow(workspace, "promote", NAME, "--json")  # the same decision
    assert again.returncode == 3 and json.loads(again.stdout)["looks"][0]["number"] == 2
    told = stsflow(workspace, "promote", NAME, "--history")
    assert told.returncode == 0 and "sts-test, renamed-test (60 rows, " in told.stdout, told.stderr
    assert "2 looks; 96% of the error budget of 5 % a year is left" in told.stdout
    history = json.loads(stsflow(workspace, "promote", NAME, "--history", "--json").stdout)
    assert len(history["looks"]) == 2 and history["accounts"][0]["looks"] == 2
    assert stsflow(workspace, "verify-card", str(third["run_dir"])).returncode == 0
