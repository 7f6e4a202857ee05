"""Two trainer processes on one machine: fed as planned, resumed, and gone when their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import patience

from stsflow.tasks.ground.errors import TrainerKilled
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child

MakeRequest = Callable[..., TrainingRequest]


SECTIONS = {"weights": {"max_restarts": 0}, "adapter": {"adapter": {"rank": 4}},
            "accumulated": {"gradient_accumulation_steps": 2, "gradient_checkpointing": True}}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_one_of_two_processes_is_killed_and_the_training_ends_as_undisturbed(
    section: dict[str, Any], request_of: MakeRequest, training_folder: TrainingFolder, tmp_path: Path
) -> None:
    request = request_of(processes=2, eval_steps=2, **section)
    whole = train_in_child(request, TrainingFolder(tmp_path / "whole"))
    # 45 triplets and 30 pairs in batches of 2 x 4, incomplete ones dropped: 5 + 3 batches, in each of two epochs
    assert (whole.steps, whole.findings) == (16 // request.training.gradient_accumulation_steps, ())
    assert [(item.name, item.batches, item.rows_seen) for item in whole.exposure] == [("nli", 10, 80), ("sts", 6, 48)]

    def kill(events: list[Event]) -> None:
        first.extend(int(str(event.details["process_id"])) for event in events if event.text == "train")
        if any(event.kind == "checkpoint" and event.step == 4 for event in events):
            launcher = psutil.Process(first[0]).parent()
            assert launcher is not None
            (other,) = [one for one in launcher.children() if one.pid != first[0]]
            other.kill()

    first: list[int] = []
    if section.get("max_restarts") == 0:
        with pytest.raises(TrainerKilled, match="is kept: the same command goes on from there"):
            train_in_child(request, training_folder, on_event=kill)
        result = train_in_child(request, training_folder)
    else:
        result = train_in_child(request, training_folder, on_event=kill)
        (finding,) = result.findings
        assert finding.code == "training.started_again"
        assert "the training went on by itself: A process of the training was ended by signal 9" in finding.message
    assert (result.attempts, len(result.resumed_from)) == (2, 1)
    assert result.resumed_from[0] >= 4
    assert result.weights_sha256 == whole.weights_sha256
    assert result.exposure == whole.exposure


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_of_two_processes_hangs_and_the_training_goes_on(
    request_of: MakeRequest, training_folder: TrainingFolder
) -> None:
    request = request_of(processes=2, eval_steps=2, hang_timeout_seconds=patience(60), max_restarts=1)

    def stop(events: list[Event]) -> None:
        first.extend(int(str(event.details["process_id"])) for event in events if event.text == "train")
        if any(event.kind == "checkpoint" and event.step == 4 for event in events):
            os.kill(first[0], signal.SIGSTOP)

    first: list[int] = []
    result = train_in_child(request, training_folder, on_event=stop)
    assert (result.attempts, result.steps) == (2, 16)
    assert "no event for" in result.findings[0].message


PARENT = """
import sys
from pathlib import Path
from stsflow.tasks.ground.child import python_module, run_child
def ready():
    return None
run_child([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]), on_tick=ready)
"""
LEADER = """
import sys
from stsflow.tasks.training import processes
processes.python_module = lambda *_: [sys.executable, "-c",
    "from stsflow.tasks.ground.child import guard; import os, threading; guard();"
    "print(os.getpid(), flush=True); threading.Event().wait()"]
processes.main(["2", sys.argv[0]])
"""


def test_no_process_outlives_parent_and_leader_killed_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, LEADER, str(log)], cwd=Path(__file__).parents[3])
    while not log.exists() or len(log.read_text().split()) < 2:
        assert parent.poll() is None
        time.sleep(0.02)  # a file that grows gives no event
    tree = psutil.Process(parent.pid).children(recursive=True)
    assert len(tree) == 3
    leader = next(one for one in tree if one.ppid() == parent.pid)
    os.kill(leader.pid, signal.SIGSTOP)  # it can do nothing for its workers any more
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(tree, timeout=patience(10))
    assert alive == []
