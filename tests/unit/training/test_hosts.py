"""Two hosts train together; one is cut off and comes back. What they are made of: `two_hosts`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from two_hosts import FIRST, OTHER, PORT, Hosts, hosts, wait_for

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.checkpoints import steps_of
from stsflow.tasks.training.events import read_events
from stsflow.tasks.training.request import TrainingRequest

__all__ = ["hosts"]

MakeRequest = Callable[..., TrainingRequest]
LEAD = """
import sys
from pathlib import Path
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
train_in_child(TrainingRequest.load(Path(sys.argv[1])), TrainingFolder(Path(sys.argv[2])))
"""


def train(
    hosts: Hosts, request: TrainingRequest, place: Path, meanwhile: Callable[[TrainingFolder], None]
) -> TrainedModel:
    """Train on both hosts while `meanwhile` happens; both ends must be well."""
    folder = TrainingFolder(place / "training")
    place.mkdir()
    request.write(place / "request.json")
    logs = [place / "first.log", place / "other.log"]
    address = f"{FIRST}:{PORT}"
    both = [
        hosts.start(0, logs[0], "-c", LEAD, str(place / "request.json"), str(folder.root)),
        hosts.start(1, logs[1], "-m", "stsflow.tasks.training.hosts", "join", address, "1500"),
    ]
    try:
        thread = threading.Thread(target=meanwhile, args=(folder,))
        thread.start()
        wait_for(lambda: None not in [one.poll() for one in both], 1500, *logs, folder.log)
        thread.join()
    finally:
        for one in both:
            one.kill()
    assert [one.wait() for one in both] == [0, 0], "\n".join(log.read_text()[-3000:] for log in (*logs, folder.log))
    return TrainedModel.load(folder.result)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hosts_train_one_is_cut_off_and_comes_back(hosts: Hosts, request_of: MakeRequest, tmp_path: Path) -> None:
    request = request_of(
        hosts={"count": 2, "rendezvous": f"{FIRST}:{PORT}"}, eval_steps=4, epochs=2, hang_timeout_seconds=300,
    )  # fmt: skip
    seen: list[set[str]] = []

    def look(folder: TrainingFolder) -> None:
        wait_for(lambda: steps_of(folder.checkpoints) != [], 300)
        seen.extend(hosts.listening(number) for number in range(2))

    whole = train(hosts, request, tmp_path / "whole", look)
    assert whole.steps == 16
    assert whole.findings == ()
    assert seen[0] <= {FIRST} and seen[1] <= {OTHER} and FIRST in seen[0]

    def cut(folder: TrainingFolder) -> None:
        wait_for(lambda: 8 in steps_of(folder.checkpoints), 300)
        hosts.cable(plugged=False)
        wait_for(lambda: any(event.kind == "failure" for event in read_events(folder.events)), 300)
        hosts.cable(plugged=True)

    result = train(hosts, request, tmp_path / "cut", cut)
    assert result.attempts == 2
    assert result.resumed_from[0] >= 8
    assert result.weights_sha256 == whole.weights_sha256
    assert result.exposure == whole.exposure
