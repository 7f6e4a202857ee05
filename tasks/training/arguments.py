"""From the recipe's training section to the trainer's own arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.recipe.trainer_arguments import HARMLESS_VALUES


@dataclass(frozen=True)
class Pace:
    """Steps between log points, evaluations and checkpoints; a number below 1 is a share of the run."""

    log: int
    evaluate: float | None
    """None: there is no choosing suite."""
    checkpoint: float

    @classmethod
    def of(cls, config: TrainingConfig, *, chooses: bool) -> Pace:
        """The pace that the section asks for: ten evaluations in the run, a checkpoint with each, unless it says so."""
        evaluate = config.eval_steps or 0.1
        return cls(config.logging_steps, evaluate if chooses else None, config.checkpoint_steps or evaluate)


def trainer_arguments(
    config: TrainingConfig, output: Path, *, pace: Pace, metric: str | None, cuda: bool, precision: str,
    eval_batch: int, prompts: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:  # fmt: skip
    """Keyword arguments of SentenceTransformerTrainingArguments for this section, `config.arguments` included.

    `metric` is the full name of the choosing metric (`sts-dev_spearman_cosine`) or None; `precision` is resolved
    (float32, bf16, fp16); `prompts` are by training set and column.
    """
    core: dict[str, Any] = {
        "output_dir": str(output),
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": eval_batch,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "optim": config.optimizer,
        "seed": config.seed,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": not cuda,
        # A value that the library knows; the batches are stsflow's own.
        "batch_sampler": "no_duplicates" if config.batch_sampler == "auto" else config.batch_sampler,
        "multi_dataset_batch_sampler": config.multi_dataset_batch_sampler,
        "logging_strategy": "steps",
        "logging_steps": pace.log,
        "eval_strategy": "steps" if pace.evaluate else "no",
        "eval_steps": pace.evaluate,
        "save_strategy": "steps",
        "save_steps": pace.checkpoint,
        "metric_for_best_model": metric,
        "greater_is_better": True if metric else None,
        "prompts": {name: dict(texts) for name, texts in prompts.items()} or None,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # it would put the mean of earlier losses in the place of a NaN
    }
    if config.gradient_checkpointing:
        core |= {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": False}}
    if not cuda:
        core["dataloader_pin_memory"] = False
    # Values under a name of the core have passed check_arguments: they are the library's own and change nothing.
    passed = {name: value for name, value in config.arguments.items() if name not in core or name == "disable_tqdm"}
    return core | {name: value for name, value in passed.items() if name not in HARMLESS_VALUES}
