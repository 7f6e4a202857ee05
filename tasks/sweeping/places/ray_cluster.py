"""Trials on the nodes of a Ray cluster.

Each trainer is the child of an actor on the node that Ray chose by the processors and GPUs asked for. Ray ends the
actors of a driver that is gone, whatever ended it, and a trainer ends with its parent (`tasks/ground/child.py`).
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import chdir, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.sweeping.places.family import Place

if TYPE_CHECKING:
    from stsflow.tasks.ground.child import Ended
    from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
    from stsflow.tasks.training.request import WorkerSpec
    from stsflow.tasks.training.watch import Watch

ADDRESS = re.compile(r"auto|[\w.-]+:\d+|\[[\da-fA-F:]+\]:\d+", re.ASCII)
SECONDS_TO_ANSWER = 20.0
SECONDS_TO_ASK_NODES = 180.0
"""A node starts a Python process first, and loads what a trainer's parent needs."""
SECONDS_TO_END = 30.0
"""Longer than a trainer is given to end by itself."""
SECONDS_BETWEEN_LOOKS = 0.25
MOST_OF_A_NODE = 10_000
NODES_NAMED = 8
_connecting = threading.Lock()


class Ray(Place):
    """Each trainer is a child of a Ray actor, on a node with room for it."""

    kind: Literal["ray"] = "ray"
    address: str | None = None
    """HOST:PORT of the cluster, or `auto` for the one that this machine is a node of; default: RAY_ADDRESS, or `auto`.
    """
    cpus: float = Field(default=1, gt=0, le=MOST_OF_A_NODE)
    """Processors for each trial."""
    gpus: float = Field(default=0, ge=0, le=MOST_OF_A_NODE)
    """GPUs for each trial; with 0.5 two share one."""

    def check(self, workspace: Workspace) -> None:
        """Raise PreconditionError where Ray is not installed, no cluster answers, no node has room for a trial, or one
        that has sees another workspace or has other versions of what a trainer loads."""
        if find_spec("ray") is None:
            raise PreconditionError("--on ray needs Ray, which is not installed; pip install 'stsflow[ray]'")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise PreconditionError(f"--trial-gpus {self.gpus:g}: allowed are a part of one GPU, or whole ones")
        self._connect()
        _ask(self._nodes_with_room(), workspace)

    def train(self, spec: WorkerSpec, folder: TrainingFolder, watch: Watch) -> Ended:
        del spec  # the node reads it in the folder
        import ray
        from ray.exceptions import RayActorError

        from stsflow.tasks.ground.child import Ended
        from stsflow.tasks.sweeping.places.on_node import Trainer, versions_of_the_trainer

        self._connect()
        began = time.monotonic()
        parent = ray.remote(Trainer).options(num_cpus=self.cpus, num_gpus=self.gpus, max_concurrency=2)
        trainer = parent.remote(self.gpus)
        try:
            told = folder.spec.read_text("utf-8")
            wrong = trainer.what_is_wrong.remote(str(folder.spec), told, versions_of_the_trainer())
            if (stopped := _wait(wrong, watch.wait)) is not None:
                return Ended(-signal.SIGTERM, stopped, time.monotonic() - began)
            if said := ray.get(wrong):
                raise PreconditionError(said)
            return _watched(trainer, folder, watch)
        except RayActorError as error:  # the node is gone, or Ray ended the actor for want of memory
            return Ended(-signal.SIGKILL, None, time.monotonic() - began, lost=_brief(error))
        finally:
            ray.kill(trainer)

    def _connect(self) -> None:
        """Make this process a driver of the cluster, where it is none yet."""
        import ray

        with _connecting:
            if ray.is_initialized():
                return
            address = self.address or os.environ.get("RAY_ADDRESS") or "auto"
            _require_answer(address)
            on_sigterm = signal.getsignal(signal.SIGTERM)
            try:
                # Ray puts the current folder in front of the path of every worker: what lies there must not be loaded
                # in place of what is installed.
                with chdir("/"):
                    ray.init(address=address, namespace="stsflow", log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise PreconditionError(f"the Ray cluster at {address} cannot be used: {_brief(error)}") from error
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own ends the process with code 15

    def _nodes_with_room(self) -> list[str]:
        """Ids of the nodes that could run a trial, were they free."""
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
        room = {node["NodeID"]: [node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU")] for node in nodes}
        if found := [node for node, (cpus, gpus) in room.items() if cpus >= self.cpus and gpus >= self.gpus]:
            return found
        has = [f"{cpus:g} and {gpus:g}" for cpus, gpus in room.values()]
        raise PreconditionError(
            f"no node of the Ray cluster has {self.cpus:g} CPUs and {self.gpus:g} GPUs, which each trial is to have "
            f"(--trial-cpus, --trial-gpus); there are: {'; '.join(has[:NODES_NAMED])}{'; …' * (len(has) > NODES_NAMED)}"
        )


def _require_answer(address: str) -> None:
    """Raise PreconditionError where no Ray cluster answers there.

    Asked from a process of its own: `ray.init` waits for minutes where nobody answers, and then ends its process.
    """
    if not ADDRESS.fullmatch(address):
        raise PreconditionError(
            f"--ray-address {address}: allowed is HOST:PORT of a cluster that this machine is a node of, or auto (a "
            "client's address, ray://…, would not do: its trials outlive a sweep that was killed)"
        )
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False)
    except subprocess.TimeoutExpired:
        said = f"nothing came within {SECONDS_TO_ANSWER:.0f} s"
    else:
        if done.returncode == 0:
            return
        said = " ".join(done.stderr.rpartition("Error: ")[2].split())[:300]
    raise PreconditionError(
        f"no Ray cluster answers at {address} (--ray-address, RAY_ADDRESS): {said}; `ray start --head` begins one on "
        "this machine"
    )


def _ask(nodes: list[str], workspace: Workspace) -> None:
    """Raise PreconditionError where one of the nodes sees another workspace, or would train with other versions."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from stsflow.tasks.sweeping.places.on_node import versions_of_the_trainer, what_is_wrong

    told, ask = secrets.token_hex(), ray.remote(what_is_wrong)
    with tempfile.NamedTemporaryFile("w", dir=workspace.root, prefix="nodes-", suffix=".txt") as file:
        file.write(told)
        file.flush()
        asked = [
            ask.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                file.name, told, versions_of_the_trainer()
            )
            for node in nodes
        ]
        try:
            answers = ray.get(asked, timeout=SECONDS_TO_ASK_NODES)
        except RayError as error:
            raise PreconditionError(
                f"a node of the Ray cluster cannot run a trial; is stsflow installed there? {_brief(error)}"
            ) from error
    for said in filter(None, answers):
        raise PreconditionError(said)


def _watched(trainer: Any, folder: TrainingFolder, watch: Watch) -> Ended:
    """How the trainer ended. It has ended too where this raises what the watch raised."""
    import ray
    from ray.exceptions import RayError

    ended = trainer.train.remote(str(folder.root))
    try:
        if (stopped := _wait(ended, watch.tick)) is not None:
            trainer.stop.remote(stopped)
        found: Ended = ray.get(ended)
        next(folder.root.iterdir(), None)  # a client of NFS may hold a file for missing until it opens the folder
        watch.relay()
    except BaseException:
        with suppress(RayError):
            trainer.stop.remote("the sweep ends it")
            ray.wait([ended], timeout=SECONDS_TO_END)
        raise
    return found


def _wait(answer: Any, tick: Callable[[], str | None]) -> str | None:
    """Wait for an answer of an actor; a sentence of `tick`, which is called meanwhile, ends the waiting."""
    import ray

    while not ray.wait([answer], timeout=SECONDS_BETWEEN_LOOKS)[0]:
        if (stopped := tick()) is not None:
            return stopped
    return None


def _brief(error: Exception) -> str:
    """The last line of what Ray says, which is about the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
