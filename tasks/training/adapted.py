"""The end of a training with an adapter: it is kept on its own, and merged into the weights that are released."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.files import folder_made_whole
from stsflow.tasks.models.adapter import layers_of, merge_adapter, parameters_of, save_adapter
from stsflow.tasks.models.encode import encode_distinct
from stsflow.tasks.models.preflight import sample_texts
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.training import TrainedAdapter
from stsflow.tasks.training.request import TrainingRequest

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

LARGEST_DIFFERENCE = 1e-4
"""Distance of two unit-length embeddings that rounding explains: it stays below 1e-6 for a few layers."""


def keep_and_merge(request: TrainingRequest, model: Encoder, folder: Path) -> TrainedAdapter:
    """Write the adapter to `folder` and merge it into the weights of `model`; what was measured of that.

    A fixed sample of the training texts is embedded before and after. Raises ModelError when an embedding moves by more
    than LARGEST_DIFFERENCE: what is released would not be what was trained.
    """
    texts = sample_texts(PreparedData(fingerprint="", train=request.sets, evaluation=()))
    trained, parameters = parameters_of(model)
    layers = layers_of(model)
    with folder_made_whole(folder) as target:
        save_adapter(model, target)
    apart = _unit_embeddings(model, texts)
    merge_adapter(model)
    difference = float(np.linalg.norm(_unit_embeddings(model, texts) - apart, axis=1).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ModelError(
            f"training.adapter: merged into the weights, the adapter gives embeddings that differ by {difference:.2g} "
            f"from those of the trained model (unit length, {len(texts)} training texts); at most "
            f"{LARGEST_DIFFERENCE:g} is allowed. The adapter is kept in {folder}."
        )
    return TrainedAdapter(
        trained=trained, parameters=parameters, layers=layers, difference=difference, texts=len(texts)
    )


def _unit_embeddings(model: Encoder, texts: tuple[str, ...]) -> NDArray[np.float32]:
    found = encode_distinct(model, texts, padding_free="off")
    lengths: NDArray[np.float32] = np.linalg.norm(found, axis=1, keepdims=True)
    return found / lengths
