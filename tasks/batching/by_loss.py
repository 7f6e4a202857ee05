"""What the loss of a training set asks of its batches."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.losses import CachedMultipleNegativesRanking, Loss, Matryoshka, MultipleNegativesRanking
from stsflow.tasks.recipe.sections import TrainingConfig

Sampler = Literal["batch_sampler", "no_duplicates"]


def keeps_row_count(loss: Loss) -> bool:
    """Whether batches for `loss` keep their number of rows under a token budget: its memory depends on mini-batches."""
    return isinstance(_inner(loss), CachedMultipleNegativesRanking)


def ranks_against_the_batch(loss: Loss) -> bool:
    """Whether `loss` takes the other rows of a batch for negatives, so that an equal text among them is a false one."""
    return isinstance(_inner(loss), MultipleNegativesRanking | CachedMultipleNegativesRanking)


def sampler_of(name: str, training: TrainingConfig, loss: Loss) -> Sampler:
    """The sampler of training set `name`: what the recipe says of it, of all sets, or what its loss needs."""
    if name in training.batch_samplers:
        return training.batch_samplers[name]
    if training.batch_sampler != "auto":
        return training.batch_sampler
    return "no_duplicates" if ranks_against_the_batch(loss) else "batch_sampler"


def _inner(loss: Loss) -> Loss:
    return loss.loss if isinstance(loss, Matryoshka) else loss
