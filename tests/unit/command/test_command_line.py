"""Options of the command line that cannot be are refused at once, with exit code 2 and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_recipe import CHECKOUT, environment

IMPOSSIBLE = [
    (["up", "--prefect-port", "70000"], "--prefect-port"),
    (["up", "--mlflow-port", "0"], "--mlflow-port"),
    (["up", "--worker-limit", "0"], "--worker-limit"),
    (["run", "x.yaml", "--seeds", "0"], "--seeds"),
    (["evaluate", "m", "--data", "rows.tsv", "--score-range", "nan", "nan"], "--score-range nan nan"),
    (["evaluate", "a/b", "--data", "rows.tsv", "--revision", "../../x"], "--revision: found '../../x'; allowed"),
    (["promote", "it's"], 'promote: found "it\'s"; allowed: letters'),
    (["promote", "a/b"], "promote: found 'a/b'"),
    (["promote", "m", "--approve"], "an answer needs a reason: --because WHY"),
    (["promote", "m", "--approve", "--refuse", "--because", "x"], "give one of --approve, --refuse"),
    (["join", "somewhere"], "join: found 'somewhere'; allowed is an address and a port"),
    (["sweep", "x.yaml", "--space", "s.yaml", "--trials", "1", "--trial-gpus", "0.5"], "--trial-gpus: needs --on ray"),
    (
        ["sweep", "x.yaml", "--space", "s.yaml", "--trials", "1", "--on", "dask"],
        "--on: found 'dask'; allowed: ray, thr",
    ),
    (["run", "x.yaml", "--seeds", "2", "--trial-cpus", "4"], "--trial-cpus: needs --on ray"),
    (["run", "x.yaml", "--parallel", "2"], "--parallel and --on are for the trainings of --seeds"),
    (["promote", "m", "--by", "anna"], "--by and --because go with --approve or --refuse"),
]


@pytest.mark.parametrize(("arguments", "words"), IMPOSSIBLE, ids=[" ".join(case[0]) for case in IMPOSSIBLE])
def test_an_option_that_cannot_be_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "rows.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t1\n", "utf-8")
    variables = {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "200", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "stsflow.flows", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=environment(tmp_path / ".stsflow") | variables,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
