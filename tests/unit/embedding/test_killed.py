"""`stsflow embed` that was killed goes on, and its file is that of an undisturbed one to the bit."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from models import SENTENCES
from patience import patience
from small_recipe import command as command_line
from small_recipe import environment, stsflow

from stsflow.tasks.embedding.request import ROWS_OF_A_BLOCK

ROWS = 3 * ROWS_OF_A_BLOCK + 100


@pytest.mark.slow
def test_a_killed_command_goes_on_and_its_file_is_the_same_to_the_bit(tmp_path: Path, tiny_bert: Path) -> None:
    texts = tmp_path / "t.jsonl"
    words = " ".join(SENTENCES).split()
    with texts.open("w", encoding="utf-8") as stream:
        for row in range(ROWS):
            chosen = [words[row * step % len(words)] for step in range(1, 2 + row % 9)]
            stream.write(json.dumps({"id": row, "text": " ".join(chosen)}) + "\n")
    space = tmp_path / ".stsflow"
    command = ("embed", str(tiny_bert), str(texts), "--keep", "id", "--precision", "int8", "--out")
    whole, killed = tmp_path / "a" / "v.parquet", tmp_path / "b" / "v.parquet"
    whole.parent.mkdir()
    killed.parent.mkdir()
    assert stsflow(space, *command, str(whole)).returncode == 0

    blocks = killed.with_name(".v.parquet.blocks")
    child = subprocess.Popen(
        command_line([*command, str(killed)]), cwd=tmp_path, env=environment(space),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + patience(280.0)
    while not (made := list(blocks.glob("*.arrow"))) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert made and not killed.exists()
    wait_for_the_worker_to_end(blocks)
    there = {path.name: path.stat().st_mtime_ns for path in blocks.glob("*.arrow")}
    assert 0 < len(there) < 4  # else it was over before it was killed

    done = stsflow(space, *command, str(killed))
    assert done.returncode == 0, done.stderr
    assert f"{len(there)} of 4 blocks are there and are kept" in done.stderr
    assert killed.read_bytes() == whole.read_bytes()
    assert not blocks.exists()


def wait_for_the_worker_to_end(blocks: Path) -> None:
    """The worker ends with its parent, a moment later."""
    spec = str(blocks / "spec.json")
    for _ in range(100):
        lines = [
            path.read_bytes().decode(errors="replace")
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if _is_there(path)
        ]
        if not any(spec in line for line in lines):
            return
        time.sleep(0.05)
    raise AssertionError("the worker goes on without its parent")


def _is_there(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False
