"""What transformers reports about its own loading: which tensors it found no weights for, and which it left lying.

transformers fills a tensor that the weights file lacks with random numbers and says so in its log alone. Called in
child processes only: it imports PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, modeling_utils
from transformers.utils.loading_report import LoadStateDictInfo

from stsflow.tasks.ground.errors import ModelError

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

HOOK = "log_state_dict_report"
"""The function of transformers that is given every report, to write it to the log."""
SHOWN = 3
"""Names of tensors in a message."""

# Tensors of published checkpoints that lie among the encoder's and that no released version of its code reads.
LEFT_OVER = re.compile(
    r"(^|\.)position_ids$"  # a buffer that older versions saved
    r"|\._\w+$"  # DeBERTa v3's `word_embeddings._weight`, from its training
    r"|(^|\.)embeddings\.position_embeddings\.weight$"  # DeBERTa v3 with `position_biased_input: false`
)


@dataclass(frozen=True)
class Loaded:
    """One model that transformers loaded, and its report."""

    model: PreTrainedModel
    report: LoadStateDictInfo


@contextmanager
def loading_reports() -> Iterator[list[Loaded]]:
    """The reports of all models that transformers loads inside the block, in order.

    `from_pretrained` gives its report to nobody but its own log when sentence-transformers calls it; the function that
    writes that log is replaced by one that also keeps what it was given. Whoever needs a report must check that it is
    there (`check_loaded` does): should transformers rename the function, no model is accepted.
    """
    reports: list[Loaded] = []
    told = getattr(modeling_utils, HOOK)

    def keep(*arguments: Any, **named: Any) -> None:
        model, report = named.get("model"), named.get("loading_info")
        if isinstance(model, PreTrainedModel) and isinstance(report, LoadStateDictInfo):
            reports.append(Loaded(model, report))
        told(*arguments, **named)

    setattr(modeling_utils, HOOK, keep)
    try:
        yield reports
    finally:
        setattr(modeling_utils, HOOK, told)


def check_loaded(folder: Path, model: Encoder, reports: list[Loaded]) -> None:
    """Raise ModelError unless every tensor of the encoders in `model` came from the weights in `folder`, and all of
    those were used.

    A missing pooler is fine where nothing reads it, and so are heads for other tasks.
    """
    known = {id(item.model) for item in reports}
    unknown = [type(encoder).__name__ for encoder in _encoders(model) if id(encoder) not in known]
    if unknown:
        raise ModelError(
            f"{folder}: transformers does not say how {unknown[0]} was loaded, so its weights cannot be trusted."
        )
    check_reports(folder, reports, pooler_is_read=_pooler_is_read(model))


def check_reports(folder: Path, reports: list[Loaded], *, pooler_is_read: bool = False) -> None:
    """Raise ModelError with the names of tensors that are missing, of another shape, or without a place."""
    for item in reports:
        name = type(item.model).__name__
        missing = sorted(key for key in item.report.missing_keys if pooler_is_read or not _of_pooler(key))
        unexpected = sorted(key for key in item.report.unexpected_keys if _belongs_to(item.model, key))
        shapes = sorted(
            f"{key} {tuple(found)} instead of {tuple(wanted)}" for key, found, wanted in item.report.mismatched_keys
        )
        faults = [
            f"{len(names):,} {what} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"
            for what, names in (
                ("are missing and would be random numbers", missing),
                ("have another shape", shapes),
                ("have no place in the model", unexpected),
            )
            if names
        ]
        if faults:
            raise ModelError(
                f"{folder}: the weights do not fit the configuration. Of the tensors of {name} "
                f"{'; '.join(faults)}. Use the config.json that belongs to these weights."
            )


def _encoders(model: Encoder) -> Iterator[PreTrainedModel]:
    """The transformers models in `model` that are not parts of another one."""
    inner = ""
    for path, module in model.named_modules():
        if isinstance(module, PreTrainedModel) and not (inner and path.startswith(inner)):
            inner = f"{path}."
            yield module


def _of_pooler(key: str) -> bool:
    return key.startswith("pooler.")


def _belongs_to(model: PreTrainedModel, key: str) -> bool:
    """Whether a tensor of the weights that the model did not take lies within one of the model's own parts."""
    parts = {name for name, _ in model.named_children()}
    inside = key.removeprefix(f"{model.base_model_prefix}.") if model.base_model_prefix else key
    return inside.partition(".")[0] in parts and not LEFT_OVER.search(inside) and not _of_pooler(inside)


def _pooler_is_read(model: Encoder) -> bool:
    modalities = getattr(model[0], "modality_config", None) or {}
    return any(reading.get("method_output_name") == "pooler_output" for reading in modalities.values())
