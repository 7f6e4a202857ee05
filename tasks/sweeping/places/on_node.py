"""What runs on a node of a Ray cluster: a look at whether a trial can train there, and the parent of its trainer."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from stsflow.tasks.ground.child import Ended
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.request import WorkerSpec
from stsflow.tasks.training.run import run_trainer

NOT_THE_TRAINERS = ("prefect", "mlflow")


def versions_of_the_trainer() -> dict[str, str]:
    """Versions that nodes must have alike: those of what a trainer loads."""
    return {name: version for name, version in versions().items() if name not in NOT_THE_TRAINERS}


def what_is_wrong(path: str, content: str, asked: Mapping[str, str]) -> str:
    """Why no trial can train on this node; empty where one can: the file holds what it should, versions are those."""
    node = f"the node {socket.gethostname()} of the Ray cluster"
    try:
        seen = Path(path).read_text("utf-8") == content
    except OSError:
        seen = False
    if not seen:
        return (
            f"{node} does not see {path} as it is here; a sweep on Ray needs a workspace that every node has under the "
            "same path and may write (STSFLOW_WORKSPACE)"
        )
    here = versions_of_the_trainer()
    other = [f"{name} {here.get(name, '(none)')}, not {asked[name]}" for name in asked if here.get(name) != asked[name]]
    return f"{node} has other versions than this machine: {'; '.join(other)}; install the same there" if other else ""


class Trainer:
    """The parent of one trainer, as a Ray actor: `stop` is heard while `train` is at work."""

    def __init__(self, gpus: float) -> None:
        self.stopped: str | None = None
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides none from who asked for none

    def what_is_wrong(self, path: str, content: str, asked: Mapping[str, str]) -> str:
        """As the function of that name says."""
        return what_is_wrong(path, content, asked)

    def train(self, root: str) -> Ended:
        """Run the trainer whose specification lies in the folder `root`; how it ended."""
        folder = TrainingFolder(Path(root))
        # The trainer of a sweep that was killed a moment ago may not have been ended yet, on another node.
        with lease(folder.root / "trainer.lock"):
            return run_trainer(WorkerSpec.load(folder.spec), folder, lambda: self.stopped)

    def stop(self, why: str) -> None:
        """Have the trainer ended; `train` returns when it is."""
        self.stopped = why
