"""Load a base model or a finished one, from the disk alone. Called in child processes only: it imports PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sentence_transformer.modules.pooling import PoolingMode

from tasks.errors import ModelError
from tasks.models.loading_report import Loaded, check_loaded, check_reports, loading_reports
from tasks.records import BaseModelRef


def load_encoder(
    ref: BaseModelRef | Path, *, device: str, max_seq_length: int | None = None, pooling: str = "keep"
) -> SentenceTransformer:
    """The model at `ref`, weights in float32 whatever they were stored in, on `device`.

    A folder without pooling gets mean pooling; `pooling` other than `keep` replaces everything after the encoder by a
    fresh pooling of that kind. `max_seq_length` (tokens) defaults to the record's, or the folder's own. Nothing is
    looked up on the network.

    Raises ModelError when the folder does not load, when a tensor of the encoder is not in its weights (transformers
    would fill it with random numbers) or one of its weights has no place, and when texts cannot share a batch.
    """
    path = ref if isinstance(ref, Path) else ref.path
    code = isinstance(ref, BaseModelRef) and ref.trust_remote_code
    if max_seq_length is None and isinstance(ref, BaseModelRef):
        max_seq_length = ref.max_seq_length
    model = _loaded(path, device, remote_code=code)
    if pooling != "keep":
        encoder = model[0]
        fresh = Pooling(encoder.get_embedding_dimension(), cast("PoolingMode", pooling))
        model = SentenceTransformer(modules=[encoder, fresh], device=device, local_files_only=True)
    if max_seq_length is not None:
        model.max_seq_length = max_seq_length
    return model


def _loaded(path: Path, device: str, *, remote_code: bool) -> SentenceTransformer:
    """The whole model of the folder, every tensor of it from its files."""
    reports: list[Loaded] = []
    try:
        with loading_reports() as reports:
            model = SentenceTransformer(
                str(path), device=device, local_files_only=True, trust_remote_code=remote_code,
                # Half-precision checkpoints would otherwise be trained in half precision, optimiser state included.
                model_kwargs={"dtype": torch.float32},
            )  # fmt: skip
    except (MemoryError, torch.OutOfMemoryError, ModelError):
        raise
    except Exception as error:  # whatever a foreign folder, or the code it carries, makes the libraries raise
        check_reports(path, reports)  # says more than the library where tensors do not fit
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{path} does not load: {type(error).__name__}: {said}") from error
    check_loaded(path, model, reports)
    if getattr(model.tokenizer, "pad_token_id", None) is None:
        raise ModelError(
            f"{path}: the tokenizer has no padding token, so texts of different length cannot share a batch. Set "
            "pad_token in its tokenizer_config.json; a decoder that was never trained to embed has none."
        )
    return model
