"""What a training is asked to do, and the fingerprint by which it is found again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from pydantic import JsonValue

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.losses import Loss
from stsflow.tasks.made.code import code_of
from stsflow.tasks.models.hardware import choose_device, choose_precision
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import RunConfig, TrainingConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import SuitePrompts
from stsflow.tasks.training.launchers import WORKER, launcher_of

PACKAGES = ("python", "sentence-transformers", "transformers", "tokenizers", "torch", "accelerate", "datasets", "numpy")
"""Packages whose version may change the weights; peft does where an adapter is trained."""

NOT_IN_THE_WEIGHTS = frozenset(
    {
        "losses",  # the resolved ones count
        "guide",  # it counts by its digest
        "checkpoint_steps",
        "keep_checkpoints",
        "on_out_of_memory",
        "hang_timeout_seconds",
        "timeout_seconds",
        "concurrency_limit",
        "processes",  # how many there are in all counts
        "hosts",
        "max_restarts",
    }
)
"""Fields of the training section that change how a training is run and watched, and not one bit of its weights."""


class ChooseOn(Record):
    """The suite that chooses the checkpoint."""

    suite: str
    scored_by: str
    """The function of its metrics; see `Suite.chooses_by`."""
    settings: dict[str, JsonValue] = {}
    """What the function is given besides; see `Suite.chooses_with`."""
    data: PreparedSet
    metric: str
    """Name of one of the suite's metrics; higher is better."""
    batch_size: int = 64
    """Sentences encoded at a time."""
    prompts: SuitePrompts = SuitePrompts()
    """Prompts that the recipe names for it."""

    @property
    def full_metric(self) -> str:
        """Metric with its suite, as trainer and card name it: `sts-dev_spearman_cosine`."""
        return f"{self.suite}_{self.metric}"


class TrainingRequest(Record):
    """Everything that one training needs."""

    training: TrainingConfig
    losses: dict[str, Loss]
    """By training set, for every set."""
    sets: tuple[PreparedSet, ...]
    base: BaseModelRef
    choose: ChooseOn | None = None
    """None: the last step is kept."""
    guide: BaseModelRef | None = None
    """For losses that need one."""
    prompts: dict[str, dict[str, str]] = {}
    """What goes before the texts, by training set and column."""
    lengths: dict[str, Path] = {}
    """Files with the lengths of the sets, by name (see `tokens.lengths`); what has none is counted when needed."""

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages whose version may change the weights."""
        found = {name: version for name, version in versions().items() if name in PACKAGES}
        return found if self.training.adapter is None else found | {"peft": metadata.version("peft")}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what determines the weights: rows, base, section, versions, code, and the hardware's class.

        Paths, names for people, paces and timeouts are left out: the same rows in another folder give the same model.
        """
        section = self.training.model_dump(mode="json", exclude=set(NOT_IN_THE_WEIGHTS))
        choose: JsonValue = None
        if self.choose:
            choose = [*self.choose.model_dump(mode="json", exclude={"data"}).values(), self.choose.data.digest]
        return fingerprint(
            section,
            {name: loss.model_dump(mode="json") for name, loss in self.losses.items()},
            [[item.name, item.shape, item.digest] for item in self.sets],
            *(
                [model.digest, model.max_seq_length, model.pooling, model.trust_remote_code, model.prompts]
                for model in (self.base, self.guide)
                if model is not None
            ),
            self.prompts,
            choose,
            self.versions,
            code_of(WORKER, *([self.choose.scored_by] if self.choose else [])),
            _hardware(self.training),
        )


def training_request(
    recipe: RunConfig,
    data: PreparedData,
    base: BaseModelRef,
    lengths: Mapping[str, Path] | None = None,
    guide: BaseModelRef | None = None,
) -> TrainingRequest:
    """What the recipe asks of the trainer: these data, base and guide; `lengths` beside a token report."""
    choose = None
    if (suite := recipe.choosing_suite) is not None:
        choose = ChooseOn(
            suite=suite,
            scored_by=recipe.evaluation.suites[suite].chooses_by,
            data=data.evaluation_set(suite),
            settings=recipe.evaluation.suites[suite].chooses_with,
            metric=recipe.choosing_metric,
            batch_size=recipe.evaluation.batch_size,
            prompts=recipe.prompts.suites.get(suite, SuitePrompts()),
        )
    return TrainingRequest(
        training=recipe.training,
        losses={item.name: recipe.loss_of(item.name) for item in data.train},
        sets=data.train,
        base=base,
        choose=choose,
        prompts=column_prompts(recipe, base).training,
        lengths=dict(lengths or {}),
        guide=guide,
    )


class WorkerSpec(Record):
    """The file that a worker process reads."""

    request: TrainingRequest
    fingerprint: str
    folder: Path
    attempt: int
    """1 for the first trainer process of this training."""
    parts: dict[str, int] = {}
    """Training sets whose batches are computed in this many parts, for want of memory."""
    lighter_losses: dict[str, Loss] = {}
    """Training sets whose loss runs in its lighter form, for want of memory."""

    def loss_of(self, name: str) -> Loss:
        """The loss of training set `name`, in the form that fits the memory."""
        return self.lighter_losses.get(name, self.request.losses[name])


def _hardware(config: TrainingConfig) -> dict[str, str]:
    """Device, precision and threads as they will be chosen here: the order of floating-point sums depends on them."""
    device = choose_device(config.device).chosen
    precision = choose_precision(config.precision, device).chosen
    launcher = launcher_of(config)
    threads = process_environment(config.threads, processes=launcher.processes).get("OMP_NUM_THREADS")
    # On a GPU the CPU's threads add up nothing that reaches the weights.
    threads = "" if device == "cuda" else threads or _inherited()
    return {"device": device, "precision": precision, "threads": threads, "processes": str(launcher.world_size)}


def _inherited() -> str:
    return os.environ["OMP_NUM_THREADS"]
