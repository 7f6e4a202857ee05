"""A whole run of the real-data recipe against the plain script that takes the same steps and evaluations, in turn.

    python -m benchmarks.whole_run --data KorNLUDatasets --seeds 1 2 3 --json whole_run.json

`stsflow run` does more: it checks the data and looks for leaks, measures tokens, forecasts, tracks in Prefect and
MLflow, bootstraps, writes and verifies a card, registers the model. Each run starts in an empty workspace, so that
nothing is reused. Counted is the CPU time of the command and of every process that it started and waited for; wall time
says something on a quiet machine only. The scores on dev and test of every seed are printed beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.padding_free import packaged_model
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.recipe.sections import RunConfig

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "flows/recipes/kornlu-minilm.yaml"


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a checkout of KorNLUDatasets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="steps in place of the recipe's")
    parser.add_argument("--eval-steps", type=int, help="steps between evaluations in place of the recipe's")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    changed = {"training.max_steps": arguments.steps, "training.eval_steps": arguments.eval_steps}
    settings = (f"data.root={arguments.data.absolute()}", *(f"{k}={v}" for k, v in changed.items() if v is not None))
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            place = Path(folder) / str(seed)
            both = {
                "plain": plain(place / "plain", (*settings, f"training.seed={seed}"), arguments.data),
                "stsflow": ours(place / "stsflow", (*settings, f"training.seed={seed}")),
            }
            rounds.append({"seed": seed, **both, "cpu_ratio": both["stsflow"]["cpu"] / both["plain"]["cpu"]})
            print(json.dumps(rounds[-1]), flush=True)
    ratio = statistics.median(one["cpu_ratio"] for one in rounds)
    print(f"median CPU ratio {ratio:.2f}")
    if arguments.json:
        found = {"rounds": rounds, "cpu_ratio": ratio, "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def plain(folder: Path, settings: tuple[str, ...], data: Path) -> dict[str, Any]:
    """The plain script with the recipe's numbers."""
    config = RunConfig.from_recipe(RECIPE, settings)
    training = config.training
    command = [
        sys.executable, str(ROOT / "benchmarks/plain_recipe.py"), "--base", str(packaged_model()), "--data-dir",
        str(data.absolute()), "--out", str(folder), "--batch-size", str(training.batch_size),
        "--max-steps", str(training.max_steps), "--lr", str(training.learning_rate), "--warmup-steps",
        str(training.warmup), "--max-seq-length", str(config.model.max_seq_length), "--seed", str(training.seed),
        "--eval-steps", str(int(training.eval_steps or 0)),
    ]  # fmt: skip
    printed, spent = timed(command, folder)
    found = json.loads(printed.splitlines()[-1])  # the library prints its log points before it
    return {**spent, "spearman_cosine": found["spearman_cosine"]["tuned"]}


def ours(folder: Path, settings: tuple[str, ...]) -> dict[str, Any]:
    """`stsflow run` in an empty workspace."""
    changes = [part for setting in settings for part in ("--set", setting)]
    printed, spent = timed([sys.executable, "-m", "stsflow.flows", "run", str(RECIPE), "--json", *changes], folder)
    metrics = json.loads(printed)["metrics"]
    return {**spent, "spearman_cosine": {s: metrics[f"tuned/sts-{s}/spearman_cosine"] for s in ("dev", "test")}}


def timed(command: Sequence[str], folder: Path) -> tuple[str, dict[str, float]]:
    """What the command prints, and the CPU and wall seconds that it took."""
    folder.mkdir(parents=True)
    environment = os.environ | {"STSFLOW_WORKSPACE": str(folder / "workspace"), "HF_HUB_OFFLINE": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, {"cpu": round(cpu, 1), "wall": round(time.monotonic() - started, 1)}


if __name__ == "__main__":
    main()
