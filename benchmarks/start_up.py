"""How long a command takes to get going: `--help`, a first run, and the same run again.

    python -m benchmarks.start_up --json start_up.json

The first run of the recipe (the demo's, unless another is named) starts in an empty workspace. The runs after it are
identical: everything that they need was made before, and what is left is Prefect, MLflow, the card and the decision.
Wall time, so it means something on a quiet machine only; CPU time of the command and its children beside it.
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
from pathlib import Path

from stsflow.tasks.ground.environment import hardware, versions

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "flows/recipes/demo.yaml")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    overrides = [part for change in arguments.overrides for part in ("--set", change)]
    run = ["run", str(arguments.recipe.absolute()), "--json", *overrides]
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name) / "workspace"
        found = {
            "help": [timed(["--help"], workspace) for _ in range(arguments.rounds)],
            "first run": [timed(run, workspace)],
            "identical run": [timed(run, workspace) for _ in range(arguments.rounds)],
        }
    for what, rounds in found.items():
        wall, cpu = (statistics.median(one[key] for one in rounds) for key in ("wall", "cpu"))
        print(f"{what:<14} {wall:7.2f} s wall  {cpu:7.2f} s CPU  ({len(rounds)} times)")
    if arguments.json:
        everything = {"found": found, "load": os.getloadavg(), "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def timed(arguments: list[str], workspace: Path) -> dict[str, float]:
    """Wall and CPU seconds of one command."""
    workspace.mkdir(parents=True, exist_ok=True)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "stsflow.flows", *arguments], check=True, capture_output=True, cwd=ROOT,
        env=os.environ | {"STSFLOW_WORKSPACE": str(workspace), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(time.monotonic() - started, 3), "cpu": round(cpu, 3)}


if __name__ == "__main__":
    main()
