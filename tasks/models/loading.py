"""Load a base model or a finished one, from the disk alone. Called in child processes only: it imports PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sentence_transformer.modules.pooling import PoolingMode

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.no_room import is_out_of_memory
from stsflow.tasks.models.admission import admit
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.models.kinds import EMBEDDINGS, ModelKind
from stsflow.tasks.models.length import NO_LENGTH
from stsflow.tasks.models.loading_report import Loaded, check_loaded, check_reports, loading_reports
from stsflow.tasks.records.models import BaseModelRef

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder


def load_encoder(
    ref: BaseModelRef | Path, *, device: str, max_seq_length: int | None = None, pooling: str = "keep"
) -> Encoder:
    """The model at `ref`, weights in float32 whatever they were stored in, on `device`.

    A folder without pooling gets mean pooling; `pooling` other than `keep` puts a fresh pooling of that kind in the
    place of the model's own, and everything else stays: similarity, Dense and Normalize behind it. Prompts are the
    record's, which the model keeps when it is saved, or the folder's own.
    `max_seq_length` (tokens) defaults to the record's, or the folder's own. Nothing is looked up on the network.

    Raises ModelError when the folder does not load, when a tensor of the encoder is not in its weights (transformers
    would fill it with random numbers) or one of its weights has no place, and when texts cannot share a batch.
    """
    path = ref if isinstance(ref, Path) else ref.path
    code = isinstance(ref, BaseModelRef) and ref.trust_remote_code
    if max_seq_length is None and isinstance(ref, BaseModelRef):
        max_seq_length = ref.max_seq_length
    model = _loaded(path, device, remote_code=code)
    if pooling != "keep":
        replace_pooling(path, model, cast("PoolingMode", pooling))
    if max_seq_length is None:  # the library does not know of position tables whose first rows are never used
        limit = ModelFolder.open(path).position_limit
        max_seq_length = min(length for length in (model.max_seq_length, limit, NO_LENGTH) if length is not None)
    model.max_seq_length = max_seq_length
    prompts = ModelFolder.open(path).own_prompts() if isinstance(ref, Path) else ref.prompts
    model.prompts, model.default_prompt_name = dict(prompts.texts), prompts.default
    return model


def replace_pooling(path: Path, model: Encoder, mode: PoolingMode) -> str:
    """Pool by `mode` alone, where the model pools now; return how it pooled before. Prompts are pooled as before.

    Raises ModelError when the model does not pool, or has a module behind its pooling that takes embeddings of another
    size than the fresh one gives.
    """
    place = next((place for place, module in enumerate(model) if isinstance(module, Pooling)), None)
    if place is None:
        raise ModelError(f"{path} has no pooling that model.pooling: {mode} could replace; use `keep`.")
    size, now = int(model[0].get_embedding_dimension()), model[place]
    behind = list(model)[place + 1 :]
    if now.pooling_output_dimension != size and any(hasattr(module, "in_features") for module in behind):
        raise ModelError(
            f"model.pooling: {mode} gives embeddings of {size} numbers, and the module behind the pooling of {path} "
            f"takes {now.pooling_output_dimension}; use `keep`."
        )
    model[place] = Pooling(size, mode, include_prompt=now.include_prompt)
    return now.pooling_mode if isinstance(now.pooling_mode, str) else "+".join(now.pooling_mode)


@contextmanager
def every_tensor_from(path: Path, *, remote_code: bool, gives: frozenset[str] = EMBEDDINGS) -> Iterator[None]:
    """A block in which a library loads the folder by itself; raises ModelError as `load_encoder` does."""
    admit(path, remote_code=remote_code, gives=gives)
    with loading_reports() as reports:
        yield
    if not reports:
        raise ModelError(f"{path}: transformers does not say how its tensors were loaded.")
    check_reports(path, reports)


def load_helper(ref: BaseModelRef, *, device: str) -> Any:
    """A model that helps to train, of whatever kind it is, in float32 on `device`, not to be trained.

    Raises ModelError as `load_encoder` does.
    """
    kind = ModelKind.named(ref.model_kind)
    if kind.gives in EMBEDDINGS:
        return load_encoder(ref, device=device, pooling=ref.pooling).eval()
    model: Any = _loaded(ref.path, device, remote_code=ref.trust_remote_code, gives=frozenset({kind.gives}))
    model.max_seq_length = ref.max_seq_length
    return model.eval()


def _loaded(path: Path, device: str, *, remote_code: bool, gives: frozenset[str] = EMBEDDINGS) -> Encoder:
    """The whole model of the folder, which may be loaded, every tensor of it from its files."""
    folder = admit(path, remote_code=remote_code, gives=gives)
    reports: list[Loaded] = []
    try:
        with loading_reports() as reports:
            model = folder.kind.load(path, device=device, remote_code=remote_code)
    except (MemoryError, torch.OutOfMemoryError, ModelError):
        raise
    except Exception as error:  # whatever a foreign folder, or the code it carries, makes the libraries raise
        check_reports(path, reports)  # says more than the library where tensors do not fit
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{path} does not load: {type(error).__name__}: {said}") from error
    check_loaded(path, model, reports)
    if getattr(model.tokenizer, "pad_token_id", None) is None:
        raise ModelError(
            f"{path}: the tokenizer has no padding token, so texts of different length cannot share a batch. Set "
            "pad_token in its tokenizer_config.json; a decoder that was never trained to embed has none."
        )
    return model
