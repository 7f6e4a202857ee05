"""A suite that decides nothing and has no defined metric: the run ends well, says so, and spoils nothing after it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.tracking.journal import damage_of
from stsflow.tasks.tracking.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_run_with_such_a_suite_and_the_next_run_in_its_folder(tmp_path: Path, tiny_bert: Path) -> None:
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    rows = tmp_path / "equal.tsv"
    rows.write_text("sentence1\tsentence2\tscore\na cat\ta dog\t3\nc\td\t3\n", "utf-8")
    suite = f"evaluation.suites.odd={{kind: sts, split: odd, source: {{kind: files, paths: [{rows}]}}}}"
    workspace = Workspace(tmp_path / ".stsflow")
    done = stsflow(workspace.root, "run", str(recipe), "--json", "--set", suite, timeout=900)
    assert "The metrics of odd are not defined" in " ".join(done.stderr.split())
    result = result_of(done)
    assert "NaN" not in done.stdout and result["metrics"]["tuned/odd/spearman_cosine"] is None
    (run,) = workspace.runs.iterdir()
    report = EvaluationReport.load(run / "evaluation" / "tuned" / "report.json")
    assert math.isnan(report.suites["odd"].metrics["spearman_cosine"])
    for path in [*run.glob("**/*.json"), *run.glob("**/*.jsonl")]:
        for text in path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]:
            json.loads(text, parse_constant=pytest.fail)
    assert damage_of(workspace.run(run.name).journal) == ""
    tracked = Store(workspace).run(str(result["mlflow_run_id"]))
    assert tracked.info.status == "FINISHED" and math.isnan(tracked.data.metrics["tuned/odd/spearman_cosine"])
    again = stsflow(workspace.root, "run", str(recipe), "--json", timeout=900)
    assert result_of(again)["reused"] is True
