"""Two hosts, made of network namespaces with addresses of their own, train together; one is cut off and comes back.

Needs root, and iproute2 for `ip` and `ss`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import patience

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.checkpoints import steps_of
from stsflow.tasks.training.events import read_events
from stsflow.tasks.training.request import TrainingRequest

MakeRequest = Callable[..., TrainingRequest]
FIRST, OTHER, PORT = "10.83.0.1", "10.83.0.2", 29500
LEAD = """
import sys
from pathlib import Path
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
train_in_child(TrainingRequest.load(Path(sys.argv[1])), TrainingFolder(Path(sys.argv[2])))
"""


def ip(*words: str, of: str | None = None) -> None:
    within = ("ip", "-n", of) if of else ("ip",)
    subprocess.run([*within, *words], check=True, capture_output=True)


class Hosts:
    """Two namespaces and the cable between them."""

    def __init__(self) -> None:
        self.names = [f"stsflow-{os.getpid()}-{number}" for number in range(2)]
        ends = [f"sf{os.getpid() % 100_000}-{number}" for number in range(2)]
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "netns", self.names[0], "type", "veth", "peer", ends[1], "netns", self.names[1])
        for name, end, address in zip(self.names, ends, (FIRST, OTHER), strict=True):
            ip("addr", "add", f"{address}/24", "dev", end, of=name)
            ip(
                "addr", "add", f"192.168.83.{10 + len(address)}/24", "dev", "lo", of=name
            )  # an address that is not asked for
            ip("link", "set", "lo", "up", of=name)
            ip("link", "set", end, "up", of=name)
        self.end = ends[1]

    def start(self, number: int, log: Path, *command: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[number], sys.executable, "-P", *command], env=environment,
            stdout=log.open("ab"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def cable(self, *, plugged: bool) -> None:
        ip("link", "set", self.end, "up" if plugged else "down", of=self.names[1])

    def listening(self, number: int) -> set[str]:
        """Local addresses at which anything of this host listens."""
        shown = subprocess.run(
            ["ip", "netns", "exec", self.names[number], "ss", "-ltnH"], check=True, capture_output=True
        )
        return {line.split()[3].rpartition(":")[0] for line in shown.stdout.decode().splitlines()}

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None or shutil.which("ss") is None:
        pytest.skip("iproute2 is not installed")
    probe = f"stsflow-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], check=False, capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    ip("netns", "del", probe)
    made = Hosts()
    yield made
    made.remove()


def wait_for(what: Callable[[], bool], seconds: float, *logs: Path) -> None:
    end = time.monotonic() + patience(seconds)
    while not what():
        assert time.monotonic() < end, "\n".join(log.read_text()[-4000:] for log in logs if log.exists())
        time.sleep(0.2)  # files of other processes


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
