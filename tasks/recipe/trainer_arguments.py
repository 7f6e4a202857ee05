"""`training.arguments`: the trainer's own arguments, by its own names.

People change a typed core (`TrainingConfig`). Everything else that SentenceTransformerTrainingArguments knows may be
given by its own name. The names and types lie in `trainer_arguments.json`, taken from the installed class and held to
it by a test, so that they can be checked without importing the training libraries.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import JsonValue

from stsflow.tasks.ground.errors import RecipeError

REPLACED_BY_FIELD = {
    "per_device_train_batch_size": "training.batch_size",
    "num_train_epochs": "training.epochs",
    "max_steps": "training.max_steps",
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.lr_scheduler",
    "warmup_steps": "training.warmup",
    "warmup_ratio": "training.warmup (a number below 1 is a share of all steps)",
    "optim": "training.optimizer",
    "weight_decay": "training.weight_decay",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "max_grad_norm": "training.max_grad_norm",
    "bf16": "training.precision",
    "fp16": "training.precision",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "activation_checkpointing": "training.gradient_checkpointing",
    "auto_find_batch_size": "training.on_out_of_memory",
    "logging_strategy": "training.logging_steps",
    "logging_steps": "training.logging_steps",
    "eval_strategy": "training.eval_steps and evaluation.choose_on",
    "eval_steps": "training.eval_steps",
    "per_device_eval_batch_size": "evaluation.batch_size",
    "save_strategy": "training.checkpoint_steps",
    "save_steps": "training.checkpoint_steps",
    "save_total_limit": "training.keep_checkpoints",
    "load_best_model_at_end": "evaluation.choose_on",
    "metric_for_best_model": "evaluation.choose_metric",
    "seed": "training.seed",
    "use_cpu": "training.device",
    "batch_sampler": "training.batch_sampler",
    "multi_dataset_batch_sampler": "training.multi_dataset_batch_sampler",
    "local_rank": "training.processes",
    "run_name": "name",
    "push_to_hub": "release (a model is published after its gate, never by the trainer)",
    "hub_token": "release (a model is published after its gate, never by the trainer)",
    "hub_model_id": "card.model_id",
    "prompts": "prompts, at the top of the recipe, which evaluation, token counts and the saved model go by as well",
    "report_to": "tracking (the record is written by stsflow itself)",
}
"""Arguments that stsflow sets itself, and the field of the recipe to use instead."""

WHOLE = (
    "training.processes is the only way to train in parallel, with all weights in each process; what does not fit one "
    "device trains as an adapter (training.adapter), with gradient_checkpointing, or with the optimizer adafactor"
)
FIXED = {
    "output_dir": "the workspace decides where a training lies",
    "resume_from_checkpoint": "a training continues from its last good checkpoint by itself",
    "save_only_model": "a checkpoint needs the optimiser to continue exactly",
    "ignore_data_skip": "a resumed training must go on with the very next batch",
    "restore_callback_states_from_checkpoint": "stsflow keeps that state itself",
    "greater_is_better": "every metric of a suite is better when it is higher",
    "enable_jit_checkpoint": "checkpoints follow training.checkpoint_steps",
    "eval_on_start": "the base model is evaluated by the run itself, before the trainer starts",
    "parallelism_config": WHOLE,
    "fsdp": WHOLE,
    "fsdp_config": WHOLE,
    "deepspeed": WHOLE,
    "ddp_backend": "it follows training.device",
    "logging_nan_inf_filter": "a loss that is not finite ends the training and is never averaged away",
    "dataloader_drop_last": "incomplete last batches are trained on by one process and dropped by several, as planned",
    "train_sampling_strategy": "training.batch_sampler makes the batches",
    "data_seed": "training.seed is the seed of the data order too",
}
"""Arguments that cannot be changed, with the reason. The library's own value is accepted, for it changes nothing."""

HARMLESS_VALUES: dict[str, tuple[JsonValue, ...]] = {
    "push_to_hub": (False,), "report_to": ("none", []), "hub_token": (None,), "local_rank": (-1, 0),
    "auto_find_batch_size": (False,), "resume_from_checkpoint": (None,), "save_only_model": (False,),
    "ignore_data_skip": (False,), "restore_callback_states_from_checkpoint": (False,),
    "greater_is_better": (None, True),
    "enable_jit_checkpoint": (False,), "eval_on_start": (False,), "parallelism_config": (None,),
    "logging_nan_inf_filter": (True, False), "dataloader_drop_last": (False,), "train_sampling_strategy": ("random",),
    "data_seed": (None,), "fsdp": (None, "", []),
    "fsdp_config": (None,), "deepspeed": (None,), "ddp_backend": (None,), "run_name": (None,), "prompts": (None,),
}  # fmt: skip

MOST = {"dataloader_num_workers": 64, "dataloader_prefetch_factor": 1_000}
"""Arguments that start something for each one, before anything could say that they are too many."""

NO_SUCCESSOR = "transformers 5 removed it and nothing takes its place"
REMOVED = {
    "overwrite_output_dir": f"{NO_SUCCESSOR}: a training lies in a folder of its own",
    "evaluation_strategy": "transformers 5 removed it: use training.eval_steps and evaluation.choose_on",
    "logging_dir": f"{NO_SUCCESSOR}: the log is the training's events.jsonl",
    "per_gpu_train_batch_size": "transformers 5 removed it: use training.batch_size",
    "per_gpu_eval_batch_size": "transformers 5 removed it: use evaluation.batch_size",
    "save_safetensors": f"{NO_SUCCESSOR}: weights are always written as safetensors",
    "no_cuda": "transformers 5 removed it: use training.device: cpu",
    "use_mps_device": f"{NO_SUCCESSOR}: the device follows training.device",
    "jit_mode_eval": NO_SUCCESSOR,
    "use_ipex": NO_SUCCESSOR,
    "fp16_opt_level": f"{NO_SUCCESSOR}: use training.precision",
    "half_precision_backend": f"{NO_SUCCESSOR}: use training.precision",
    "fp16_backend": f"{NO_SUCCESSOR}: use training.precision",
    "tpu_num_cores": NO_SUCCESSOR,
    "tpu_metrics_debug": "transformers 5 removed it: use training.arguments.debug",
    "past_index": NO_SUCCESSOR,
    "fsdp_min_num_params": NO_SUCCESSOR,
    "fsdp_transformer_layer_cls_to_wrap": NO_SUCCESSOR,
    "adafactor": "transformers 5 removed it: use training.optimizer: adafactor",
    "group_by_length": f"{NO_SUCCESSOR} here: training.padding_free saves what it saved",
    "use_legacy_prediction_loop": NO_SUCCESSOR,
    "include_inputs_for_metrics": "transformers 5 removed it: use training.arguments.include_for_metrics",
    "push_to_hub_model_id": "transformers 5 removed it: use card.model_id",
    "push_to_hub_organization": "transformers 5 removed it: use card.model_id",
    "push_to_hub_token": f"{NO_SUCCESSOR}: the trainer publishes nothing",
    "mp_parameters": NO_SUCCESSOR,
    "torchdynamo": "transformers 5 removed it: use training.arguments.torch_compile_backend",
    "ray_scope": NO_SUCCESSOR,
    "dispatch_batches": "transformers 5 removed it: use training.arguments.accelerator_config",
    "split_batches": "transformers 5 removed it: use training.arguments.accelerator_config",
    "include_tokens_per_second": "transformers 5 removed it: use training.arguments.include_num_input_tokens_seen",
}
"""Arguments of earlier versions, each with its successor or the statement that there is none."""

_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int, "float": (int, float), "bool": bool, "str": str, "list": list, "dict": dict,
}  # fmt: skip


@cache
def known_arguments() -> dict[str, dict[str, list[str]]]:
    """Every argument of the installed trainer: `types`, and `one_of` where its values are named."""
    table: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return table


def check_arguments(arguments: Mapping[str, JsonValue]) -> None:
    """Refuse what the trainer does not know, what stsflow sets itself, and values of the wrong type (RecipeError)."""
    known = known_arguments()
    for name, value in arguments.items():
        where = f"training.arguments.{name}"
        if name in REMOVED:
            raise RecipeError(f"{where}: {REMOVED[name]}.")
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *REMOVED], n=1)
            hint = f" The nearest right one is {near[0]}." if near else ""
            raise RecipeError(f"{where}: the trainer has no argument of this name.{hint}")
        if _changes_nothing(name, value):
            continue
        if name in MOST and isinstance(value, int) and value > MOST[name]:
            raise RecipeError(f"{where}: found {value}; at most {MOST[name]:,} are allowed.")
        if _not_finite(value):
            raise RecipeError(f"{where}: found {value!r}; every number must be finite.")
        if name in REPLACED_BY_FIELD:
            raise RecipeError(f"{where}: stsflow sets this itself; use {REPLACED_BY_FIELD[name]}.")
        if name in FIXED:
            raise RecipeError(f"{where}: this cannot be changed: {FIXED[name]}.")
        _check_value(where, value, known[name])


def _changes_nothing(name: str, value: JsonValue) -> bool:
    # Types too: 0 equals False, and is not what the trainer's own card would show.
    return any(type(value) is type(one) and value == one for one in HARMLESS_VALUES.get(name, ()))


def _not_finite(value: JsonValue) -> bool:
    if isinstance(value, dict | list):
        return any(_not_finite(part) for part in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


def _check_value(where: str, value: JsonValue, rule: Mapping[str, list[str]]) -> None:
    if "one_of" in rule:
        if value not in rule["one_of"]:
            raise RecipeError(f"{where}: {value!r} is not allowed; it is one of {', '.join(rule['one_of'])}.")
        return
    for name in rule["types"]:
        if name == "null" and value is None:
            return
        # In Python a bool is an int; in a recipe it is not.
        if name != "null" and isinstance(value, _PYTHON_TYPES[name]) and isinstance(value, bool) == (name == "bool"):
            return
    found = "null" if value is None else f"{value!r} ({type(value).__name__})"
    raise RecipeError(f"{where}: found {found}, allowed is {' or '.join(rule['types'])}.")
