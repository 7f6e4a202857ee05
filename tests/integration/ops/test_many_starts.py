"""Many commands begin at once in a workspace that is new: each makes the tables, or finds them made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_recipe import environment, write_small_recipe

CHECKOUT = Path(__file__).resolve().parents[3]
AT_ONCE = 8
START = """
from stsflow.flows.command.terminal import prepare_process
prepare_process()
from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.ground.workspace import Workspace
start_embedded_server()
Store(Workspace.here())
wait_for_embedded_server()
"""


def all_ended(commands: list[list[str]], workspace: Path) -> list[str]:
    """Run the commands at the same time; what each that did not end well said."""
    surroundings = environment(workspace) | {"PYTHONPATH": str(CHECKOUT)}
    running = [
        subprocess.Popen(command, env=surroundings, cwd=workspace.parent, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
        for command in commands
    ]  # fmt: skip
    said = [process.communicate()[1] for process in running]
    return [text[-2000:] for process, text in zip(running, said, strict=True) if process.returncode != 0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("time", range(3))
def test_eight_starts_at_once_in_a_new_workspace(tmp_path: Path, time: int) -> None:
    del time
    assert all_ended([[sys.executable, "-c", START]] * AT_ONCE, tmp_path / ".stsflow") == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("time", range(3))
def test_eight_runs_at_once_in_a_new_workspace(tmp_path: Path, tiny_bert: Path, time: int) -> None:
    del time
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    run = [sys.executable, "-m", "stsflow.flows", "run", str(recipe), "--set", "training.max_steps=4", "--set"]
    commands = [[*run, f"training.seed={seed}"] for seed in range(AT_ONCE)]
    assert all_ended(commands, tmp_path / ".stsflow") == []
