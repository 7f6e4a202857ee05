"""A person's yes where nobody runs a server: the candidate of a run by hand waits, and commands answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

NAME = "small-model"
SHORT = ("--set", "training.max_steps=4", "--set", "training.eval_steps=4", "--set", "evaluation.resamples=50")
ASKING = (*SHORT, "--set", "release.approval=required")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_candidate_waits_and_is_refused_readmitted_and_approved_by_command(tmp_path: Path, tiny_bert: Path) -> None:
    workspace = tmp_path / ".stsflow"
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)

    def champion() -> str | None:
        found = Store(Workspace(workspace)).registry.alias(NAME, "champion")
        return None if found is None else str(found.version)

    shown = stsflow(workspace, "run", str(recipe), *ASKING)
    printed = " ".join(shown.stdout.split())
    assert shown.returncode == 0 and "waits for a person's yes until" in printed, shown.stdout + shown.stderr
    assert f"Yes: stsflow promote {NAME} --approve --because WHY" in printed and champion() is None

    no = stsflow(workspace, "promote", NAME, "--refuse", "--by", "ben", "--because", "slow on long texts")
    assert no.returncode == 0 and "refused by ben on" in " ".join(no.stdout.split()), no.stdout + no.stderr
    late = stsflow(workspace, "promote", NAME, "--approve", "--because", "good")
    assert late.returncode == 2 and "has no candidate, so that nothing waits" in late.stderr

    assert stsflow(workspace, "promote", NAME, "--readmit", "1", "--reason", "the texts were odd").returncode == 0
    asked = stsflow(workspace, "promote", NAME, "--json")  # decided again, and asked again
    assert asked.returncode == 3 and json.loads(asked.stdout)["approval"]["state"] == "waiting", asked.stderr
    assert champion() is None

    yes = stsflow(workspace, "promote", NAME, "--approve", "--by", "anna", "--because", "read its errors", "--json")
    result = result_of(yes)
    assert (result["promoted"], result["approval"]["who"], champion()) == (True, "anna", "1")
    store = Store(Workspace(workspace))
    run = store.run(store.registry.model_version(NAME, "1").run_id)
    assert "approved by anna on" in run.data.tags["stsflow.release"] and run.data.tags["stsflow.promoted"] == "true"
    (folder,) = (workspace / "runs").iterdir()
    decided = json.loads((folder / "release" / "decision.json").read_text(encoding="utf-8"))
    assert decided["approval"]["why"] == "read its errors" and decided["outcomes"]
    checked = stsflow(workspace, "verify-card", str(folder))
    assert "approved by anna on" in " ".join(checked.stdout.split()), checked.stdout + checked.stderr
