"""A stage over rows that is killed is done by the same again: the same result and files, and nothing beside them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import patience

from benchmarks.beyond_memory import STAGES, write_rows
from stsflow.tasks.ground.fingerprint import sha256_of_file

ROWS = 60_000
"""Enough for tables to go to the disk."""
KILLED_AT = (0.3, 0.6, 0.8, 0.95)
"""Shares of the time that the stage takes when nobody disturbs it."""


def started(stage: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.beyond_memory", "--run", stage, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen[str]) -> str:
    said, _ = child.communicate(timeout=patience(120))
    assert child.returncode == 0
    return said


def content(folder: Path) -> dict[str, str]:
    """Files of the workspace with the hash of those that hold no path."""
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path) if path.suffix in (".arrow", ".npy") else ""
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_stage_that_is_killed_gives_the_same_the_next_time_and_leaves_nothing_else(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        write_rows(folder, ROWS, "tsv")
    for stage in STAGES:
        begun = time.monotonic()
        expected = ended(started(stage, undisturbed))
        took, kills = time.monotonic() - begun, 0
        for share in KILLED_AT:
            child = started(stage, killed)
            try:
                child.wait(timeout=share * took)
            except subprocess.TimeoutExpired:
                child.kill()
                kills += child.wait() == -signal.SIGKILL
        assert kills
        assert ended(started(stage, killed)) == expected
    assert content(killed) == content(undisturbed)
