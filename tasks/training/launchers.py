"""How the processes of a training are started: one here, several here, or several on each of several hosts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from stsflow.tasks.ground.child import python_module
from stsflow.tasks.models.hardware import choose_device, cuda_capabilities
from stsflow.tasks.recipe.sections import TrainingConfig

WORKER = "stsflow.tasks.training.worker"


@dataclass(frozen=True)
class Launcher(ABC):
    """A way to start the same worker."""

    processes: int
    """On each host."""

    @property
    def world_size(self) -> int:
        """Processes of all hosts."""
        return self.processes

    @property
    def starts_again(self) -> bool:
        """Whether an attempt that one of its processes ended is followed by another, from the last checkpoint."""
        return True

    @abstractmethod
    def command(self, spec: Path) -> list[str]:
        """The command that trains what the file `spec` says, and ends when that is over."""


class OneProcess(Launcher):
    """The worker itself; who watches it decides what follows its end."""

    @property
    def starts_again(self) -> bool:
        return False

    def command(self, spec: Path) -> list[str]:
        return python_module(WORKER, str(spec))


class ManyHere(Launcher):
    """Several on this host, which meet through a file."""

    def command(self, spec: Path) -> list[str]:
        return python_module("stsflow.tasks.training.processes", str(self.processes), str(spec))


@dataclass(frozen=True)
class ManyHosts(Launcher):
    """Several on each of several hosts, which meet at an address of this one."""

    hosts: int
    rendezvous: str

    @property
    def world_size(self) -> int:
        return self.processes * self.hosts

    def command(self, spec: Path) -> list[str]:
        numbers = (str(self.hosts), str(self.processes))
        return python_module("stsflow.tasks.training.hosts", "lead", self.rendezvous, *numbers, str(spec))


def launcher_of(config: TrainingConfig) -> Launcher:
    """What starts the processes that the section asks for; `auto` is one for each GPU, and one without any."""
    processes = config.processes
    if processes == "auto":
        on_gpus = choose_device(config.device).chosen == "cuda"
        processes = len(cuda_capabilities()) if on_gpus else 1
    if config.hosts is not None:
        return ManyHosts(processes, config.hosts.count, config.hosts.rendezvous)
    return ManyHere(processes) if processes > 1 else OneProcess(1)
