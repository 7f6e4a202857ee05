"""Room on the disk for a training's checkpoints and model."""

from __future__ import annotations

import shutil
from pathlib import Path

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.records.models import BaseModelRef

_WEIGHT_BYTES = 4
_STATE_BYTES = 12
"""Of a checkpoint for each weight: the weight and AdamW's two moments, all float32."""


def checkpoint_room(base: BaseModelRef, training: TrainingConfig, there: int = 0) -> int:
    """Bytes that a training may still take at its fullest, when `there` checkpoints are there.

    `keep_checkpoints` checkpoints, the best one, the one being written, and the finished model.
    """
    checkpoints = max(training.keep_checkpoints + 2 - there, 1)
    # Two matrices of a square layer have 2 * rank / size of its weights, those of an oblong one less.
    share = 1.0 if training.adapter is None else min(1.0, 2 * training.adapter.rank / base.dimension)
    return int(base.parameters * (share * _STATE_BYTES * checkpoints + _WEIGHT_BYTES))


def check_disk(base: BaseModelRef, training: TrainingConfig, folder: Path, there: int = 0) -> None:
    """Raise PreconditionError, with both numbers, when the disk of `folder` has less free than `checkpoint_room`."""
    needed = checkpoint_room(base, training, there)
    on_disk = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(on_disk).free
    if free < needed:
        raise PreconditionError(
            f"The disk of {folder} has {free / 2**30:.2f} GiB free; {training.keep_checkpoints + 2} checkpoints "
            f"(training.keep_checkpoints: {training.keep_checkpoints}, the best one, and the one being written) of "
            f"{base.parameters:,} weights and the model need {needed / 2**30:.2f} GiB. Free some, keep fewer "
            "checkpoints, or point STSFLOW_WORKSPACE to a larger disk."
        )
