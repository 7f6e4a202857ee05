"""Run a sentence-transformers model without padding, exactly.

sentence-transformers can lay the texts of a batch end to end (flatten it), number the positions of each from its own
beginning, pool the flattened features and slice them for cached losses. It does so only with the package flash-attn.
Here the same path is opened with the attention of `attention.py`, which runs everywhere PyTorch does. Nothing of it is
written into a saved model.

`enable_padding_free` decides, proves on a few texts that a flattened batch gives what one text at a time gives, and
falls back to padded batches, aloud, where it does not.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
from sentence_transformers.base.modules.transformer import Transformer
from torch.utils.hooks import RemovableHandle
from transformers import DataCollatorWithFlattening

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.models import attention
from stsflow.tasks.models.hardware import Precision

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

logger = logging.getLogger(__name__)

# What travels to the attention layers beside the arguments that a model's forward names.
BOUNDARIES = frozenset({"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx"})

# Modules that read single tokens (LSTM, CNN, word weights, …) expect a padded batch; these work on pooled embeddings.
AFTER_THE_ENCODER = frozenset({"Pooling", "Normalize", "Dense", "Dropout", "LayerNorm"})

# Distance of unit-length embeddings that rounding explains. Texts that attend to each other are off by 0.1 and more.
TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "bf16": 5e-2, "fp16": 1e-2}


@dataclass
class Counters:
    """Proof that flattening is on, counted where features enter the encoder."""

    flattened_batches: int = 0
    padded_batches: int = 0
    real_tokens: int = 0
    """Tokens of the flattened batches."""
    padded_tokens_saved: int = 0
    """Padding that those batches would have had, each padded to its own longest text."""

    def count(self, _module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        """Forward pre-hook of the encoder. Reads shapes and plain numbers only: it never waits for a GPU."""
        features = arguments[0]
        if "cu_seq_lens_q" not in features:
            self.padded_batches += 1
            return
        tokens = features["input_ids"].shape[1]
        texts = features["cu_seq_lens_q"].shape[0] - 1
        self.flattened_batches += 1
        self.real_tokens += tokens
        self.padded_tokens_saved += texts * int(features["max_length_q"]) - tokens


@dataclass
class _Before:
    """What `disable_padding_free` puts back."""

    attention: str
    collator: Any
    forward_params: set[str] | None
    counters: Counters = field(default_factory=Counters)
    hook: RemovableHandle | None = None


_ENABLED: WeakKeyDictionary[torch.nn.Module, _Before] = WeakKeyDictionary()


def enable_padding_free(
    model: Encoder, asked: Literal["auto", "on", "off"], device: str, precision: Precision
) -> LeverState:
    """Switch `model` (loaded, on `device`) to flattened batches where that is exact; return what was chosen and why.

    With `auto` a model that does not qualify stays padded, and the reason is logged and returned; with `on` it raises
    PreconditionError. The model's weights, its saved form and its results do not change.
    """
    if asked == "off":
        return LeverState(name="padding_free", asked=asked, chosen="off", reason="the recipe says off")
    reason = why_not(model)
    if reason is None:
        off = max(_largest_difference(model, device, precision), _training_kernel_difference(model, device, precision))
        if off <= TOLERANCE[precision]:
            _switch_on(model)
            return LeverState(
                name="padding_free", asked=asked, chosen="on",
                reason=f"a flattened batch gives what one text at a time gives, to {off:.1e}",
                proof={"start_up_difference": off},
            )  # fmt: skip
        reason = f"a flattened batch differs from one text at a time by {off:.2g}, more than {TOLERANCE[precision]:g}"
    if asked == "on":
        raise PreconditionError(f"training.padding_free is `on`, but {reason}; set it to `auto` or `off`.")
    logger.warning("padding-free: off, batches are padded: %s", reason)
    return LeverState(name="padding_free", asked=asked, chosen="off", reason=reason)


def disable_padding_free(model: Encoder) -> None:
    """Put back padded batches and the attention that the model had. Does nothing where it was never enabled."""
    before = _ENABLED.pop(model[0], None)
    if before is None:
        return
    encoder = model[0]
    encoder.model.set_attn_implementation(before.attention)
    encoder.can_flatten_inputs = False
    encoder.data_collator = before.collator
    encoder.model_forward_params = before.forward_params
    if before.hook is not None:
        before.hook.remove()


def is_padding_free(model: Encoder) -> bool:
    """Whether the model's texts are flattened by us."""
    return model[0] in _ENABLED


def counters(model: Encoder) -> dict[str, float]:
    """The counters of `Counters` since the model was enabled, by name; empty for a padded model."""
    before = _ENABLED.get(model[0])
    return {} if before is None else {name: float(value) for name, value in vars(before.counters).items()}


def why_not(model: Encoder) -> str | None:
    """Why the model's batches cannot be flattened, in words; None when nothing is in the way."""
    encoder = model[0]
    if type(encoder) is not Transformer:
        return f"its first module is {type(encoder).__name__}, not a plain Transformer"
    others = [type(module).__name__ for module in list(model)[1:]]
    unknown = [name for name in others if name not in AFTER_THE_ENCODER]
    if unknown:
        return f"module {unknown[0]} reads single tokens of a padded batch"
    name = type(encoder.model).__name__
    if encoder.backend != "torch":
        return f"the backend is {encoder.backend}"
    if encoder.transformer_task != "feature-extraction" or set(encoder.modality_config) != {"text"}:
        return f"{name} is not a plain text encoder"
    # Some architectures compute attention by themselves: a flattened batch would run, and be wrong without an error.
    if not encoder.model.is_backend_compatible():
        return f"{name} computes attention by itself and cannot be given another"
    if encoder.unpad_inputs is False:
        return "the model's own configuration says unpad_inputs: false"
    return None


def _switch_on(model: Encoder) -> None:
    encoder = model[0]
    if encoder in _ENABLED:
        return
    attention.register()
    before = _Before(encoder.config._attn_implementation, getattr(encoder, "data_collator", None),
                     encoder.model_forward_params)  # fmt: skip
    encoder.model.set_attn_implementation(attention.ATTENTION_NAME)
    encoder.data_collator = DataCollatorWithFlattening(  # type: ignore[no-untyped-call]  # the library has no types
        return_position_ids=True, return_flash_attn_kwargs=True, return_seq_idx=True
    )
    if encoder.model_forward_params is not None:
        encoder.model_forward_params = encoder.model_forward_params | BOUNDARIES
    encoder._flatten_position_offset = encoder._infer_flatten_position_offset()
    encoder.can_flatten_inputs = True
    before.hook = encoder.register_forward_pre_hook(before.counters.count)
    _ENABLED[encoder] = before


def _largest_difference(model: Encoder, device: str, precision: Precision) -> float:
    """Largest distance between a text's unit-length embedding in a flattened batch and alone; infinite when it fails.

    Each alone is computed before anything is switched. Afterwards the model is as it was.
    """
    texts = _texts_of_many_lengths()
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(device, precision):
            alone = torch.cat([unit_embeddings(model, [text]) for text in texts])
            _switch_on(model)
            together = unit_embeddings(model, texts)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        # Whatever an unusual architecture makes of a flattened batch: it is then not one that can be flattened.
        logger.warning("padding-free: the flattened batch failed: %s", error)
        return float("inf")
    finally:
        disable_padding_free(model)
        model.train(was_training)
    return float((together - alone).norm(dim=1).max()) if bool(torch.isfinite(together).all()) else float("inf")


def _training_kernel_difference(model: Encoder, device: str, precision: Precision) -> float:
    """How far the attention that training will use on a GPU (it has dropout, the check above has none) is off."""
    config = model[0].config
    if torch.device(device).type != "cuda":
        return 0.0
    rates = (getattr(config, name, 0.0) for name in ("attention_probs_dropout_prob", "attention_dropout"))
    rate = max(float(value or 0.0) for value in rates)
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    capability = torch.cuda.get_device_capability(device)
    kernel = attention.choose_kernel("cuda", dtype, rate, head_size, capability)
    return attention.difference_from_by_text(kernel, heads, head_size, dtype, device)


def unit_embeddings(model: Encoder, texts: list[str]) -> torch.Tensor:
    """Embeddings of the texts as one batch, brought to length one in float32."""
    features = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in model.preprocess(texts).items()
    }
    return torch.nn.functional.normalize(model(features)["sentence_embedding"].float(), dim=1)


def _texts_of_many_lengths() -> list[str]:
    """A dozen texts from one word to the longest input (300 words at most: it has to exceed attention windows)."""
    words = "The old man and the sea, 한 남자가 기타를 연주하고 있다, nobody reads 12 books; rain falls on the road"
    many = words.split() * 16
    lengths = (1, 2, 5, 5, 9, 14, 22, 40, 3, 90, 200, 7)
    return [" ".join(many[start : start + length]) for start, length in enumerate(lengths)]


def autocast(device: str, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """The autocast of `precision` on `device` (`cpu`, `cuda`, `cuda:0`); nothing for float32."""
    if precision == "float32":
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(torch.device(device).type, dtype=dtype)
