"""Several trainer processes on this host: `python -m tasks.training.processes N SPEC`.

All of them stay in this process's group, so that one signal, and the guard that watches the parent, reaches every one.
They meet through a file, not a port: nothing listens on the network but gloo and NCCL between themselves, on loopback.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tasks.child import guard, python_module

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
MEETING_POINT = "STSFLOW_MEETING_POINT"


def main(arguments: list[str]) -> int:
    """Run N workers on the spec; 0 when all ended well, else the exit code of the first that did not."""
    guard()
    count, spec = int(arguments[0]), arguments[1]
    meeting = Path(spec).with_name(f"processes-{os.getpid()}.store")
    workers = [start(rank, count, spec, meeting) for rank in range(count)]
    try:
        return wait(workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        meeting.unlink(missing_ok=True)


def start(rank: int, count: int, spec: str, meeting: Path) -> subprocess.Popen[bytes]:
    """Start worker number `rank` of `count`."""
    place = {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        # Read by libraries that look whether a launcher is at work; nothing listens there.
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
        MEETING_POINT: str(meeting),
    }  # fmt: skip
    return subprocess.Popen(python_module("tasks.training.worker", spec), env=dict(os.environ) | LOOPBACK | place)


def wait(workers: list[subprocess.Popen[bytes]]) -> int:
    """Wait for all; when one fails the others can only hang, so its exit code is returned at once."""
    while True:
        codes = [worker.poll() for worker in workers]
        for code in codes:
            if code:
                return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.1)  # waitpid on any child would also reap what the libraries of this process started


def join(cuda: bool) -> None:
    """In a worker: join the other processes of this training, where there are any."""
    meeting = os.environ.get(MEETING_POINT)
    if not meeting:
        return
    import torch.distributed

    torch.distributed.init_process_group(
        backend="nccl" if cuda else "gloo",
        init_method=f"file://{meeting}",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
