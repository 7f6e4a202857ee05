"""Trainer processes on several hosts: torch's elastic agent on each, around the same worker as on one.

    python -m stsflow.tasks.training.hosts lead ADDRESS:PORT HOSTS PROCESSES SPEC     on the first host
    python -m stsflow.tasks.training.hosts join ADDRESS:PORT PATIENCE                 on each other one

All meet at a store on the first host, which listens on the given address alone (torch's own listens on every interface,
so the socket is made here and handed over). gloo and NCCL are told the interface that leads there. The store says what
is trained, under a name of its own for each attempt; a host that joins asks it, takes part until that attempt is over,
and asks again. Nobody has to say who is which host: the agents agree on that, and the leader is always the first.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not among those that torch says it exports
from torch.distributed.elastic.agent.server.api import WorkerSpec as ElasticSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import DynamicRendezvousHandler, RendezvousTimeout

from stsflow.tasks.ground.child import END_WITH_PARENT, guard, python_module, run_child
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.training.launchers import WORKER
from stsflow.tasks.training.processes import ATTEMPT, RENDEZVOUS
from stsflow.tasks.training.request import WorkerSpec

ORDER = "stsflow/order"
ASK_SECONDS = 5.0
STORE_SECONDS = 30.0
WAIT_FOR_HOSTS_SECONDS = 600.0


class OneSocket(DynamicRendezvousHandler):
    """The agents' rendezvous, whose store serves the workers too: nothing else begins to listen."""

    def _create_tcp_store_server(self, _address: str, _port: int) -> Any:
        return self._store


def main(arguments: list[str]) -> int:
    """Lead or join; 0 when the training is done."""
    guard()
    if arguments[0] == "lead":
        address, hosts, processes, spec = arguments[1:]
        attempt = f"{time.time_ns()}"  # never the name of an earlier one
        order = {"attempt": attempt, "hosts": int(hosts), "processes": int(processes), "spec": spec}
        return lead(address, json.dumps(order))
    if arguments[0] == "join":
        return join_until_done(arguments[1], float(arguments[2]))
    return take_part(open_store(arguments[1]), arguments[1], arguments[2], leads=False)


def lead(address: str, order: str) -> int:
    """Open the store, say what is trained, and take part."""
    store = open_store(address, serve=True)
    store.set(ORDER, order)
    return take_part(store, address, order, leads=True)


def join_until_done(address: str, patience: float) -> int:
    """Take part in every attempt that the store at `address` names, until one ends well.

    Returns 0 then; 1 when nobody has been there for `patience` seconds; 2 when this host does not see the training's
    folder.
    """
    heard, last = time.monotonic(), ""
    while time.monotonic() - heard < patience:
        order = ask(address)
        if order is None or order == last:
            heard = heard if order is None else time.monotonic()
            time.sleep(0.5)  # the store may be away, and has no way to call
            continue
        last, heard = order, time.monotonic()
        spec = Path(json.loads(order)["spec"])
        if not spec.is_file():
            print(f"This host does not see {spec}: hosts that train together share the workspace.", file=sys.stderr)
            return 2
        print(f"taking part in {spec.parent}, which all hosts write to", file=sys.stderr, flush=True)
        log = spec.with_name(f"host-{socket.gethostname()}-{os.getpid()}.log")
        threads, processes = WorkerSpec.load(spec).request.training.threads, json.loads(order)["processes"]
        ended = run_child(
            python_module("stsflow.tasks.training.hosts", "once", address, order), log,
            environment=process_environment(threads, processes=processes),
        )  # fmt: skip
        if ended.code == 0:
            return 0
        print(f"the attempt is over; its log is {log}", file=sys.stderr, flush=True)
        heard = time.monotonic()
    print(f"Nobody trains at {address}: gave up after {patience:g} seconds.", file=sys.stderr)
    return 1


def ask(address: str) -> str | None:
    """What the store says is trained; None when it cannot be asked."""
    with suppress(RuntimeError, OSError):
        return bytes(open_store(address, seconds=ASK_SECONDS).get(ORDER)).decode()
    return None


def open_store(address: str, *, serve: bool = False, seconds: float = STORE_SECONDS) -> TCPStore:
    """The store at `ADDRESS:PORT`; with `serve` it is opened, on that address and no other."""
    host, _, port = address.rpartition(":")
    timeout = timedelta(seconds=seconds)
    if not serve:
        return TCPStore(host, int(port), is_master=False, timeout=timeout, wait_for_workers=False)
    place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    listening = socket.socket(place[0], socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(place[4])
    listening.listen(512)
    return TCPStore(
        host, int(port), is_master=True, timeout=timeout, wait_for_workers=False, master_listen_fd=listening.detach()
    )


def take_part(store: TCPStore, address: str, order: str, *, leads: bool) -> int:
    """Run this host's workers of one attempt to their end; 0 when the training is done."""
    asked = json.loads(order)
    own = own_address(address)
    os.environ |= {
        RENDEZVOUS: address, ATTEMPT: asked["attempt"], END_WITH_PARENT: "1",
        "GLOO_SOCKET_IFNAME": interface_of(own), "NCCL_SOCKET_IFNAME": interface_of(own),
    }  # fmt: skip
    handler = OneSocket.from_backend(
        asked["attempt"], store, C10dRendezvousBackend(store, asked["attempt"]), asked["hosts"], asked["hosts"],
        local_addr=f"{'first' if leads else 'other'}-{own}",  # hosts are numbered in the order of these
        timeout=RendezvousTimeout(join=timedelta(seconds=WAIT_FOR_HOSTS_SECONDS), last_call=timedelta(seconds=1)),
    )  # fmt: skip
    command = python_module(WORKER, asked["spec"])
    with tempfile.TemporaryDirectory() as logs:
        agent = LocalElasticAgent(
            ElasticSpec(
                role="trainer", local_world_size=asked["processes"], rdzv_handler=handler, entrypoint=command[0],
                args=tuple(command[1:]), max_restarts=0, monitor_interval=0.5,
            ),
            DefaultLogsSpecs(log_dir=logs),
            exit_barrier_timeout=STORE_SECONDS,
        )  # fmt: skip
        result = agent.run()
    if result is None or not result.is_failed():
        return 0
    for rank, failure in result.failures.items():
        how = f"ended by signal {-failure.exitcode}" if failure.exitcode < 0 else f"exit code {failure.exitcode}"
        print(f"process {rank} of the training: {how}", file=sys.stderr, flush=True)
    return 1


def own_address(address: str) -> str:
    """The address of this host from which the rendezvous is reached; no packet is sent to find out."""
    host, _, port = address.rpartition(":")
    family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The network interface that has this address."""
    for name, places in psutil.net_if_addrs().items():
        if any(place.address == address for place in places):
            return str(name)
    raise OSError(f"no interface of this host has the address {address}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
