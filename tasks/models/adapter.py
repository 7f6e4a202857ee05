"""Adapters: small matrices beside the frozen weights of an encoder, which alone are trained (LoRA, DoRA; through peft).

Called in child processes only: it imports PyTorch. The matrices are put into the encoder's own layers, so that whatever
runs the encoder (batches without padding, losses that cache, checkpoints of activations) runs it with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stsflow.tasks.ground.errors import ModelError, RecipeError

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder
    from stsflow.tasks.recipe.sections import AdapterConfig

NAME = "default"
WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
"""What peft puts before the names of an adapter's tensors in a file."""
NOT_TRAINED = "pooler."
"""Layers that `auto` leaves out: nothing reads them in an encoder with a pooling of its own."""


def add_adapter(model: Encoder, config: AdapterConfig, base_name: str) -> None:
    """Put a fresh adapter into the encoder of `model` and freeze everything else.

    It changes no embedding until it is trained. Raises RecipeError where the recipe names layers that are not there.
    """
    from peft import LoraConfig

    encoder = model.transformers_model
    linear = [name for name, part in encoder.named_modules() if isinstance(part, torch.nn.Linear)]
    names = {name.rpartition(".")[2] for name in linear}
    if config.target_modules == "auto":
        chosen = [name for name in linear if not name.startswith(NOT_TRAINED)]
    else:
        if unknown := sorted(set(config.target_modules) - names):
            raise RecipeError(
                f"training.adapter.target_modules: {type(encoder).__name__} has no linear layer called {unknown[0]!r}; "
                f"it has: {', '.join(sorted(names))}"
            )
        chosen = [name for name in linear if name.rpartition(".")[2] in config.target_modules]
    alpha = 2.0 * config.rank if config.alpha is None else config.alpha
    settings = LoraConfig(
        r=config.rank, lora_alpha=alpha, lora_dropout=config.dropout, use_dora=config.dora,
        target_modules=chosen,
    )  # fmt: skip
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.add_adapter(settings, NAME)
    # The library puts a folder of this machine there.
    encoder.peft_config[NAME].base_model_name_or_path = base_name


def has_adapter(model: Encoder) -> bool:
    """Whether the encoder of `model` has an adapter that is not merged into its weights."""
    return bool(getattr(model.transformers_model, "_hf_peft_config_loaded", False))


def parameters_of(model: Encoder) -> tuple[int, int]:
    """How many parameters are trained, and how many the model has, adapter included."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def layers_of(model: Encoder) -> tuple[str, ...]:
    """Names of the layers that have adapters, without where they stand: `query`, `dense`."""
    return tuple(sorted({name.rpartition(".")[2] for name, _ in _adapted(model)}))


def save_adapter(model: Encoder, folder: Path) -> None:
    """Write the adapter alone into `folder`, as peft loads it: safetensors and its settings."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    encoder = model.transformers_model
    # Otherwise it asks the hub whether the vocabulary is the base model's.
    weights = get_peft_model_state_dict(encoder, adapter_name=NAME, save_embedding_layers=False)
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{PREFIX}{name}": tensor.contiguous() for name, tensor in weights.items()}
    save_file(named, folder / WEIGHTS, metadata={"format": "pt"})
    settings = encoder.peft_config[NAME].to_dict() | {"inference_mode": True}
    ordered = {name: sorted(value) if isinstance(value, set | list) else value for name, value in settings.items()}
    (folder / SETTINGS).write_text(json.dumps(ordered, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapter(model: Encoder, folder: Path) -> None:
    """Give the adapter of `model` the weights that `save_adapter` left; raises ModelError when they are of another."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = {name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    found = set_peft_model_state_dict(model.transformers_model, weights, adapter_name=NAME)
    missing = [name for name in found.missing_keys if ".lora_" in name]
    if wrong := [*found.unexpected_keys, *missing]:
        raise ModelError(f"{folder / WEIGHTS} is not of this adapter: {wrong[0]} is in one of the two only")


def merge_adapter(model: Encoder) -> None:
    """Add the adapter to the weights and take it out; the model is a plain one again, of the base model's tensors."""
    encoder = model.transformers_model
    for name, layer in _adapted(model):
        layer.merge(safe_merge=True)
        parent, _, last = name.rpartition(".")
        setattr(encoder.get_submodule(parent), last, layer.get_base_layer())
    del encoder.peft_config
    encoder._hf_peft_config_loaded = False


def _adapted(model: Encoder) -> list[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [(name, part) for name, part in model.transformers_model.named_modules() if isinstance(part, BaseTunerLayer)]
