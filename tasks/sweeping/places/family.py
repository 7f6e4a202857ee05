"""The family of places where trainers of trials run."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from stsflow.tasks.ground.family import Kind

if TYPE_CHECKING:
    from stsflow.tasks.ground.child import Ended
    from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
    from stsflow.tasks.training.request import WorkerSpec
    from stsflow.tasks.training.watch import Watch


class Place(Kind):
    """Where the trainers of trials run. All else of a trial is done by the sweep's own process, wherever that is."""

    def check(self, workspace: Workspace) -> None:
        """Raise PreconditionError where no trial could run there; asked before work begins."""

    @abstractmethod
    def train(self, spec: WorkerSpec, folder: TrainingFolder, watch: Watch) -> Ended:
        """Run the trainer for `spec`, which lies in `folder`, and watch it; how it ended.

        Returns when it has ended, and raises what the watch raises once it has been ended.
        """
