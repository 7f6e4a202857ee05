"""Trials on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stsflow.tasks.sweeping.places.family import Place

if TYPE_CHECKING:
    from stsflow.tasks.ground.child import Ended
    from stsflow.tasks.ground.workspace import TrainingFolder
    from stsflow.tasks.training.request import WorkerSpec
    from stsflow.tasks.training.watch import Watch


class Threads(Place):
    """Each trainer is a child of the sweep's process, which has a thread for each."""

    kind: Literal["threads"] = "threads"

    def train(self, spec: WorkerSpec, folder: TrainingFolder, watch: Watch) -> Ended:
        from stsflow.tasks.training.run import train_here

        return train_here(spec, folder, watch)
