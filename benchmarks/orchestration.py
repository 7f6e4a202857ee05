"""What orchestration costs beside a training: CPU time of the command and of Prefect's server, by part of the run.

    python -m benchmarks.orchestration --recipe flows/recipes/kornlu-minilm.yaml --set data.root=KorNLUDatasets

The command holds the flow: Prefect's client, MLflow's, the relay of events between trainer and both, and the work of
the stages that need no child process (data, plan, intervals, card). Before and after the training all of that is in the
figure; while the trainer works it is orchestration alone, and its share of the training's time is what the last line
says. The trainer's own cost of reporting is in the trainer, see `benchmarks.training`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from stsflow.tasks.ground.environment import hardware, versions

ROOT = Path(__file__).resolve().parents[1]
TRAINER = "stsflow.tasks.training.worker"
SERVER = "stsflow.flows.ops.embedded_prefect"


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "flows/recipes/demo.yaml")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workspace", type=Path, help="keep the run in this folder; else nothing of it is kept")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    overrides = [part for change in arguments.overrides for part in ("--set", change)]
    with tempfile.TemporaryDirectory() as name:
        workspace = arguments.workspace.absolute() if arguments.workspace else Path(name) / "workspace"
        found = watched(["run", str(arguments.recipe), "--json", *overrides], workspace)
    for part, spent in found.items():
        print(f"{part:<16} {spent['wall']:7.1f} s wall   command {spent['command']:6.2f} s CPU   server "
              f"{spent['server']:6.2f} s CPU")  # fmt: skip
    training = found["training"]
    print(f"share of the training: {(training['command'] + training['server']) / training['wall']:.2%}")
    if arguments.json:
        everything = {"parts": found, "load": os.getloadavg(), "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def watched(arguments: list[str], workspace: Path) -> dict[str, dict[str, float]]:
    """Wall seconds of each part of the run, and the CPU seconds of command and server in it."""
    environment = os.environ | {"STSFLOW_WORKSPACE": str(workspace), "HF_HUB_OFFLINE": "1"}
    command = psutil.Popen(
        [sys.executable, "-m", "stsflow.flows", *arguments], env=environment, stdout=subprocess.DEVNULL, cwd=Path.cwd()
    )
    started, part = time.monotonic(), "before training"
    marks = {}
    now = {"wall": 0.0, "command": 0.0, "server": 0.0}
    while command.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            lines = {process: " ".join(process.cmdline()) for process in command.children()}
            cpu = command.cpu_times()
            now = {"wall": time.monotonic() - started, "command": cpu.user + cpu.system} | {
                "server": sum(sum(p.cpu_times()[:2]) for p, line in lines.items() if SERVER in line) or now["server"]
            }
            training = any(TRAINER in line for line in lines.values())
            if training and part == "before training":
                marks[part], part = now, "training"
            if not training and part == "training":
                marks[part], part = now, "after training"
        time.sleep(0.1)  # how finely the parts are told apart; reading more often would be a cost of its own
    if command.returncode != 0:
        raise SystemExit(f"the run ended with {command.returncode}")
    marks["after training"] = now
    before = dict.fromkeys(now, 0.0)
    found = {}
    for name, mark in marks.items():
        found[name] = {key: round(mark[key] - before[key], 2) for key in mark}
        before = mark
    return found


if __name__ == "__main__":
    main()
