"""Several trainer processes on this host: `python -m stsflow.tasks.training.processes N SPEC`.

All of them stay in this process's group, so that one signal reaches every one, and each watches the parent's pipe
itself, so that none outlives it when this process is killed too. They meet through a file, not a port: nothing listens
on the network but gloo and NCCL between themselves, on loopback. Those of several hosts meet at an address: `hosts.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from stsflow.tasks.ground.child import GUARD_VARIABLE, guard, python_module

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
MEETING_POINT = "STSFLOW_MEETING_POINT"
RENDEZVOUS = "STSFLOW_RENDEZVOUS"
"""Address and port where the processes of several hosts meet."""
ATTEMPT = "STSFLOW_ATTEMPT"
"""Under which name they do, another one for each attempt."""
DONE = "stsflow/done"


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
        killed = [rank for rank, code in enumerate(codes) if code is not None and code < 0]
        failed = [code for code in codes if code]
        if killed:  # whatever else failed at the same time is a consequence
            rank, number = killed[0], -(codes[killed[0]] or 0)
            print(f"process {rank} of {len(workers)} was ended by signal {number}", file=sys.stderr, flush=True)
            return KILLED + number
        if failed:
            return failed[0]
        if codes[0] == 0:
            return 0
        time.sleep(0.1)  # waitpid on any child would also reap what the libraries of this process started


KILLED = 128
"""Added to the number of the signal that ended a process, as shells do."""


def join(cuda: bool, timeout_seconds: float) -> None:
    """In a worker: join the other processes of this training, where there are any.

    One that hears nothing from the others for so long raises.
    """
    meeting, rendezvous = os.environ.get(MEETING_POINT), os.environ.get(RENDEZVOUS)
    if not meeting and not rendezvous:
        return
    import torch.distributed as dist
    from torch.distributed import FileStore, PrefixStore, TCPStore  # type: ignore[attr-defined]  # not among those that torch says it exports

    if dist.is_initialized():
        return
    store: FileStore | PrefixStore
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    timeout = timedelta(seconds=timeout_seconds)
    if rendezvous:
        host, _, port = rendezvous.rpartition(":")
        there = TCPStore(host, int(port), is_master=False, timeout=timeout, wait_for_workers=False)
        store = PrefixStore(os.environ[ATTEMPT], there)
    else:
        store = FileStore(str(meeting), world_size)
        store.set_timeout(timeout)
    backend = "nccl" if cuda else "gloo"
    dist.init_process_group(backend=backend, store=store, rank=rank, world_size=world_size, timeout=timeout)


def stay_until_done(rank: int) -> None:
    """In a worker, at its end: leave together with the first process, which writes the result.

    On one host whoever started the others ends them; hosts tell each other.
    """
    if not os.environ.get(RENDEZVOUS):
        if rank:
            threading.Event().wait()
        return
    import torch.distributed as dist

    store = dist.distributed_c10d._get_default_store()
    if rank == 0:
        store.set(DONE, "1")
    else:
        store.wait([DONE], timedelta(days=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
