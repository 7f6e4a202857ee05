"""Load a base model or a finished one, from the disk alone. Called in child processes only: it imports PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sentence_transformer.modules.pooling import PoolingMode

from tasks.records import BaseModelRef


def load_encoder(
    ref: BaseModelRef | Path, *, device: str, max_seq_length: int | None = None, pooling: str = "keep"
) -> SentenceTransformer:
    """The model at `ref`, weights in float32 whatever they were stored in, on `device`.

    A folder without pooling gets mean pooling; `pooling` other than `keep` replaces everything after the encoder by a
    fresh pooling of that kind. `max_seq_length` (tokens) defaults to the record's, or the folder's own. Nothing is
    looked up on the network.
    """
    path = ref if isinstance(ref, Path) else ref.path
    code = isinstance(ref, BaseModelRef) and ref.trust_remote_code
    if max_seq_length is None and isinstance(ref, BaseModelRef):
        max_seq_length = ref.max_seq_length
    model = SentenceTransformer(
        str(path), device=device, local_files_only=True, trust_remote_code=code,
        # Half-precision checkpoints would otherwise be trained in half precision, optimiser state included.
        model_kwargs={"dtype": torch.float32},
    )  # fmt: skip
    if pooling != "keep":
        encoder = model[0]
        fresh = Pooling(encoder.get_embedding_dimension(), cast("PoolingMode", pooling))
        model = SentenceTransformer(modules=[encoder, fresh], device=device, local_files_only=True)
    if max_seq_length is not None:
        model.max_seq_length = max_seq_length
    return model
