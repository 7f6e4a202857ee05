"""The trainer's own arguments: all known ones can be named, wrong ones get a sentence."""

# ruff: noqa: E501  a sentence stands on one line

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.recipe.trainer_arguments import (
    FIXED,
    REMOVED,
    REPLACED_BY_FIELD,
    check_arguments,
    known_arguments,
)
from stsflow.tasks.training.arguments import Pace, trainer_arguments

# "All Hyperparameters" of a card that sentence-transformers 3.0.1 with transformers 4.42 wrote, with their values.
CARD_OF_2024: dict[str, Any] = {
    "overwrite_output_dir": False, "do_predict": False, "eval_strategy": "steps", "prediction_loss_only": True,
    "per_device_train_batch_size": 8, "per_device_eval_batch_size": 8, "per_gpu_train_batch_size": None,
    "per_gpu_eval_batch_size": None, "gradient_accumulation_steps": 1, "eval_accumulation_steps": None,
    "learning_rate": 5e-05, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-08,
    "max_grad_norm": 1, "num_train_epochs": 10, "max_steps": -1, "lr_scheduler_type": "linear",
    "lr_scheduler_kwargs": {}, "warmup_ratio": 0.0, "warmup_steps": 0, "log_level": "passive",
    "log_level_replica": "warning", "log_on_each_node": True, "logging_nan_inf_filter": True, "save_safetensors": True,
    "save_on_each_node": False, "save_only_model": False, "restore_callback_states_from_checkpoint": False,
    "no_cuda": False, "use_cpu": False, "use_mps_device": False, "seed": 42, "data_seed": None, "jit_mode_eval": False,
    "use_ipex": False, "bf16": False, "fp16": False, "fp16_opt_level": "O1", "half_precision_backend": "auto",
    "bf16_full_eval": False, "fp16_full_eval": False, "tf32": None, "local_rank": 0, "ddp_backend": None,
    "tpu_num_cores": None, "tpu_metrics_debug": False, "debug": [], "dataloader_drop_last": False,
    "dataloader_num_workers": 0, "dataloader_prefetch_factor": None, "past_index": -1, "disable_tqdm": False,
    "remove_unused_columns": True, "label_names": None, "load_best_model_at_end": False, "ignore_data_skip": False,
    "fsdp": [], "fsdp_min_num_params": 0, "fsdp_config": None, "fsdp_transformer_layer_cls_to_wrap": None,
    "accelerator_config": {"split_batches": False}, "deepspeed": None, "label_smoothing_factor": 0.0,
    "optim": "adamw_torch", "optim_args": None, "adafactor": False, "group_by_length": False,
    "length_column_name": "length", "ddp_find_unused_parameters": None, "ddp_bucket_cap_mb": None,
    "ddp_broadcast_buffers": False, "dataloader_pin_memory": True, "dataloader_persistent_workers": False,
    "skip_memory_metrics": True, "use_legacy_prediction_loop": False, "push_to_hub": False,
    "resume_from_checkpoint": None, "hub_model_id": None, "hub_strategy": "every_save", "hub_private_repo": False,
    "hub_always_push": False, "gradient_checkpointing": False, "gradient_checkpointing_kwargs": None,
    "include_inputs_for_metrics": False, "eval_do_concat_batches": True, "fp16_backend": "auto",
    "push_to_hub_model_id": None, "push_to_hub_organization": None, "mp_parameters": "", "auto_find_batch_size": False,
    "full_determinism": False, "torchdynamo": None, "ray_scope": "last", "ddp_timeout": 1800, "torch_compile": False,
    "torch_compile_backend": None, "torch_compile_mode": None, "dispatch_batches": None, "split_batches": None,
    "include_tokens_per_second": False, "include_num_input_tokens_seen": False, "neftune_noise_alpha": None,
    "optim_target_modules": None, "batch_eval_metrics": False, "eval_on_start": False,
    "batch_sampler": "no_duplicates", "multi_dataset_batch_sampler": "round_robin",
}  # fmt: skip


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    """Name and type of every field of the installed class."""
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    hints = typing.get_type_hints(SentenceTransformerTrainingArguments)
    return {field.name: hints[field.name] for field in dataclasses.fields(SentenceTransformerTrainingArguments)}


def kinds(hint: Any) -> set[str]:
    """The JSON types that an annotation takes."""
    if hint is type(None):
        return {"null"}
    if hint in (int, float, bool, str):
        return {hint.__name__}
    origin = typing.get_origin(hint) or hint
    if origin in (list, dict):
        return {origin.__name__}
    if origin in (typing.Union, types.UnionType):
        return set().union(*(kinds(one) for one in typing.get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"str"}
    return set()


def test_the_table_is_that_of_the_installed_class(installed: dict[str, Any]) -> None:
    assert {name: set(rule["types"]) for name, rule in known_arguments().items()} == {
        name: kinds(hint) for name, hint in installed.items()
    }


def test_the_named_values_are_those_of_the_installed_enumerations(installed: dict[str, Any]) -> None:
    for name, rule in known_arguments().items():
        enumerations = [
            one for one in (typing.get_args(installed[name]) or (installed[name],))
            if isinstance(one, type) and issubclass(one, enum.Enum)
        ]  # fmt: skip
        assert rule.get("one_of", []) == [member.value for one in enumerations for member in one], name


def test_every_argument_of_an_old_card_is_known_removed_or_has_a_field() -> None:
    known = known_arguments()
    for name in CARD_OF_2024:
        assert (name in known) != (name in REMOVED), name


def test_every_argument_of_an_old_card_that_has_no_field_can_be_given_as_the_card_gives_it() -> None:
    for name, value in CARD_OF_2024.items():
        if name not in REMOVED and name not in REPLACED_BY_FIELD:
            check_arguments({name: value})


def test_removed_names_are_gone_and_the_others_exist(installed: dict[str, Any]) -> None:
    assert not set(REMOVED) & set(installed)
    assert {*REPLACED_BY_FIELD, *FIXED} <= set(installed)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"adam_beta3": 0.9}, "training.arguments.adam_beta3: the trainer has no argument of this name. The nearest right one is adam_beta"),
        ({"xyzzy": 1}, "training.arguments.xyzzy: the trainer has no argument of this name."),
        ({"adam_beta1": "high"}, "training.arguments.adam_beta1: found 'high' (str), allowed is float."),
        ({"adam_beta1": None}, "training.arguments.adam_beta1: found null, allowed is float."),
        ({"torch_compile": 1}, "training.arguments.torch_compile: found 1 (int), allowed is bool."),
        ({"dataloader_num_workers": True}, "training.arguments.dataloader_num_workers: found True (bool), allowed is int."),
        ({"hub_strategy": "often"}, "training.arguments.hub_strategy: 'often' is not allowed; it is one of end, every_save, checkpoint, all_checkpoints."),
        ({"learning_rate": 1e-5}, "training.arguments.learning_rate: stsflow sets this itself; use training.learning_rate."),
        ({"metric_for_best_model": "x"}, "training.arguments.metric_for_best_model: stsflow sets this itself; use evaluation.choose_metric."),
        ({"push_to_hub": True}, "training.arguments.push_to_hub: stsflow sets this itself; use release (a model is published after its gate, never by the trainer)."),
        ({"output_dir": "/tmp/x"}, "training.arguments.output_dir: this cannot be changed: the workspace decides where a training lies."),
        ({"ignore_data_skip": True}, "training.arguments.ignore_data_skip: this cannot be changed: a resumed training must go on with the very next batch."),
        ({"evaluation_strategy": "steps"}, "training.arguments.evaluation_strategy: transformers 5 removed it: use training.eval_steps and evaluation.choose_on."),
        ({"use_ipex": True}, "training.arguments.use_ipex: transformers 5 removed it and nothing takes its place."),
    ],
)  # fmt: skip
def test_wrong_arguments_get_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        check_arguments(arguments)
    assert error.value.message.startswith(sentence)


def test_checking_does_not_load_the_training_libraries() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from stsflow.tasks.recipe.trainer_arguments import check_arguments; check_arguments({'adam_beta1': 0.8});"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_section_and_pass_through_reach_the_library(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    config = TrainingConfig(
        learning_rate=2e-5, batch_size=16, warmup=0.1, lr_scheduler="cosine", weight_decay=0.01, epochs=3,
        arguments={"adam_beta2": 0.98, "label_smoothing_factor": 0.1, "push_to_hub": False, "disable_tqdm": False},
    )  # fmt: skip
    check_arguments(config.arguments)
    given = trainer_arguments(
        config, tmp_path, pace=Pace.of(config, chooses=True), metric="dev_spearman_cosine", cuda=False,
        precision="float32", eval_batch=64, prompts={"pairs": {"anchor": "query: "}},
    )  # fmt: skip
    made = SentenceTransformerTrainingArguments(**given)
    assert made.learning_rate == 2e-5
    assert made.per_device_train_batch_size == 16
    assert made.warmup_steps == 0.1
    assert made.lr_scheduler_type.value == "cosine"
    assert made.adam_beta2 == 0.98
    assert made.label_smoothing_factor == 0.1
    assert made.prompts == {"pairs": {"anchor": "query: "}}
    assert made.disable_tqdm is False
    assert made.report_to == []
    assert made.eval_steps == made.save_steps == 0.1


@pytest.mark.parametrize(
    ("section", "chooses", "pace"),
    [
        ({}, True, Pace(10, 0.1, 0.1)),
        ({"eval_steps": 50}, True, Pace(10, 50, 50)),
        ({"eval_steps": 50, "checkpoint_steps": 20}, True, Pace(10, 50, 20)),
        ({}, False, Pace(10, None, 0.1)),
    ],
)
def test_ten_evaluations_unless_told_and_a_checkpoint_with_each(
    section: dict[str, Any], chooses: bool, pace: Pace
) -> None:
    assert Pace.of(TrainingConfig(**section), chooses=chooses) == pace
