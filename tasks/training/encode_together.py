"""Embeddings of many texts, made by all processes of a training together, which hold the same weights.

The batches are those that one process makes, and each is encoded whole by one of the processes: what a model gives for
a text depends, in the last digits, on the texts beside it. So every number is what one process alone would have found.

Called in trainer processes only: it imports PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from stsflow.tasks.models.encode import TextsAlike, batches_by_tokens, embed_batch
from stsflow.tasks.records.prompts import Side

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

    Encoded = list[tuple[list[int], NDArray[np.float32]]]


def encode_alike_together(
    model: Encoder, alike: TextsAlike, prompt: str, side: Side | None, batch_tokens: int
) -> NDArray[np.float32]:
    """As `encode_alike`, in every process at once and of the same texts: each encodes a share, and gets the whole.

    Batches are dealt in turn: they hold about equally many tokens, longest texts first, so neighbours are equal work.
    """
    shares = list(batches_by_tokens(alike.lengths, batch_tokens))[dist.get_rank() :: dist.get_world_size()]
    own = [
        (numbers, embed_batch(model, [alike.distinct[number] for number in numbers], prompt, side))
        for numbers in shares
    ]
    found = [encoded for process in of_each_process(own) for encoded in process]
    rows = np.empty((len(alike.distinct), found[0][1].shape[1]), dtype=np.float32)
    for numbers, embeddings in found:
        rows[numbers] = embeddings
    return rows


def of_each_process(own: Encoded) -> list[Encoded]:
    """What every process has, in their order."""
    found: list[Encoded] = [[] for _ in range(dist.get_world_size())]
    with torch.inference_mode(False):  # messages are written over each other, which tensors of that mode refuse
        dist.all_gather_object(found, own)
    return found
