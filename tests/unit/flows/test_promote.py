"""Which run speaks for a candidate: the one that made it, else another one with the same weights."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from stsflow.flows.promote import _run_with_the_weights
from stsflow.tasks.ground.process import this_process
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.run import RunState


def run_of(workspace: Workspace, name: str) -> RunFolder:
    folder = workspace.run(name)
    RunState(
        name=name, recipe_name="small", recipe_sha256="5e" * 32, status="finished", mlflow_run_id=f"id-of-{name}",
        experiment_id="1", tracking_uri="", started=datetime.now(UTC), **this_process(),
    ).write(folder.state)  # fmt: skip
    return folder


def test_a_run_that_ended_before_its_scores_hides_none_that_has_them(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run_of(workspace, "small-001")
    scored = run_of(workspace, "small-002")
    report = EvaluationReport(model="tuned", model_path=scored.model, model_digest="70" * 32, suites={}, seconds=1.0)
    report.write(scored.report("tuned"))
    run_of(workspace, "small-003")
    assert _run_with_the_weights(workspace, "id-of-another", "70" * 32) == scored
    assert _run_with_the_weights(workspace, "id-of-small-003", "70" * 32) == workspace.run("small-003")
