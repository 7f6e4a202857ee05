"""Several trainer processes on this host: `python -m stsflow.tasks.training.processes N SPEC`.

All of them stay in this process's group, so that one signal reaches every one, and each watches the parent's pipe
itself, so that none outlives it when this process is killed too. They meet through a file, not a port: nothing listens
on the network but gloo and NCCL between themselves, on loopback.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from stsflow.tasks.ground.child import GUARD_VARIABLE, guard, python_module

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
MEETING_POINT = "STSFLOW_MEETING_POINT"


def main(arguments: list[str]) -> int:
    """Run N workers on the spec; 0 when the first ended well, else the exit code of one that failed."""
    watched = os.environ.get(GUARD_VARIABLE)  # guard() takes it out of the environment
    guard()
    count, spec = int(arguments[0]), arguments[1]
    meeting = Path(spec).with_name(f"processes-{os.getpid()}.store")
    workers = [start(rank, count, spec, meeting, watched) for rank in range(count)]
    try:
        return wait(workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        meeting.unlink(missing_ok=True)


def start(rank: int, count: int, spec: str, meeting: Path, watched: str | None) -> subprocess.Popen[bytes]:
    """Start worker number `rank` of `count`; `watched` is the pipe that ends with the parent."""
    place = {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        # Read by libraries that look whether a launcher is at work; nothing listens there.
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
        MEETING_POINT: str(meeting),
    }  # fmt: skip
    if watched is not None:
        place[GUARD_VARIABLE] = watched
    return subprocess.Popen(
        python_module("stsflow.tasks.training.worker", spec),
        env=dict(os.environ) | LOOPBACK | place,
        pass_fds=() if watched is None else (int(watched),),
    )


def wait(workers: list[subprocess.Popen[bytes]]) -> int:
    """Wait for the first worker to end well, or for any to fail (the others can then only hang); the exit code.

    The others stay where they are when the training is over: a process that leaves closes its connections, and the last
    message on them may be lost to one that is still reading.
    """
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [code for code in codes if code]
        if failed:
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        if codes[0] == 0:
            return 0
        time.sleep(0.1)  # waitpid on any child would also reap what the libraries of this process started


def join(cuda: bool) -> None:
    """In a worker: join the other processes of this training, where there are any."""
    meeting = os.environ.get(MEETING_POINT)
    if not meeting:
        return
    import torch.distributed

    if torch.distributed.is_initialized():
        return
    torch.distributed.init_process_group(
        backend="nccl" if cuda else "gloo",
        init_method=f"file://{meeting}",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
