"""One step of the real trainer before a run begins: what it would refuse is refused here, and nothing is left behind.

The typed fields of a recipe are bounded at reading. What is only known by building it is tried: an optimiser that needs
a package, further arguments with a right type and an impossible value, dimensions beyond the model's, kernels that do
not go together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from stsflow.tasks.ground.child import Ended
from stsflow.tasks.ground.errors import LossNotFinite, OutOfMemory, PreconditionError, RecipeError, TrainingFailed
from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.models.hardware import choose_device, choose_precision, cuda_capabilities
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.recipe.sections import AdapterConfig, TrainingConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.request import TrainingRequest, WorkerSpec
from stsflow.tasks.training.run import finished_training, train_here, train_in_child
from stsflow.tasks.training.watch import Watch
from stsflow.tasks.training.worker import Failure, failure_file

PLAIN_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused")
LONGEST_REASON = 400


def check_hardware(config: TrainingConfig) -> None:
    """Raise PreconditionError where this machine lacks the device, the precision or the GPUs that the section names."""
    device = choose_device(config.device).chosen
    choose_precision(config.precision, device)
    if config.adapter is not None:
        check_adapter(config.adapter, device)
    processes = launcher_of(config).processes
    if device == "cuda" and (found := len(cuda_capabilities())) < processes:
        raise PreconditionError(
            f"training.processes is {processes}, one for each GPU; this machine has {found}. Use {found}."
        )


def check_adapter(config: AdapterConfig, device: str) -> None:
    """Raise PreconditionError where an adapter cannot be trained here: without peft, or in four bits."""
    if config.quantise == "4bit":
        lacks = "this machine has no CUDA GPU" if device != "cuda" else "it has not been tried on such a GPU yet"
        raise PreconditionError(
            f"training.adapter.quantise: training over 4-bit weights (QLoRA) needs a CUDA GPU and "
            f"bitsandbytes; {lacks}. Set it to `off`: an adapter over float32 weights trains as few parameters."
        )
    if find_spec("peft") is None:
        raise PreconditionError("training.adapter: peft is not installed; pip install 'stsflow[lora]'")


def check_losses(request: TrainingRequest) -> None:
    """Raise RecipeError where a loss does not fit the base model."""
    gives = ModelKind.of(request.base.model_kind).gives
    for name, loss in request.losses.items():
        if loss.learns_through != gives:
            raise RecipeError(
                f"training.losses.{name}: the loss {loss.kind!r} learns through {loss.learns_through}, and "
                f"{request.base.name} gives {gives}"
            )
        if loss.least_dimension > request.base.dimension:
            raise RecipeError(
                f"training.losses.{name}: a dimension of {loss.least_dimension:,} cannot exceed the model's embedding "
                f"dimension of {request.base.dimension:,}"
            )
    for item in request.sets:
        if item.roles.taught is not None and item.roles.teaches == "embedding":
            _check_dimension(item, request.base)


def _check_dimension(item: PreparedSet, base: BaseModelRef) -> None:
    """A teacher's embeddings must have as many numbers as the model's."""
    from stsflow.tasks.sets.rows import read_rows

    found = len(read_rows(item)[item.roles.taught][0].as_py())
    if found > base.dimension:
        raise RecipeError(
            f"training.losses.{item.name}: the teacher's embeddings have {found:,} numbers and those of {base.name} "
            f"{base.dimension:,}; set teacher.dimension: {base.dimension} (their first ones, which say enough where "
            "the teacher was trained for that), or use a loss that learns from a teacher's scores"
        )
    if found < base.dimension:
        raise RecipeError(
            f"training.losses.{item.name}: the teacher's embeddings have {found:,} numbers and those of {base.name} "
            f"{base.dimension:,}; take a larger teacher, or a loss that learns from a teacher's scores"
        )


def needs_trial(request: TrainingRequest) -> bool:
    """Whether the request has anything that only the libraries can judge; the plain way has been tried often enough."""
    config = request.training
    return bool(
        config.arguments
        or config.adapter is not None
        or config.optimizer not in PLAIN_OPTIMIZERS
        or config.gradient_checkpointing
        or "on" in (config.padding_free, config.merge_columns, config.word_dropout)
        or config.device == "cuda"
        or any(loss.wants_trial for loss in request.losses.values())
    )


def try_trainer(
    request: TrainingRequest,
    workspace: Workspace,
    start: Callable[[WorkerSpec, TrainingFolder, Watch], Ended] = train_here,
) -> None:
    """Train one step of `request` in a temporary folder where it needs a trial and has not been trained before.

    Raises RecipeError with the libraries' reason, or what `train_in_child` raises when its process hangs or dies. Too
    little memory and a loss that is not finite are left to the run itself, which can do something about them and
    records them.
    """
    check_losses(request)
    if not needs_trial(request) or finished_training(request, workspace.training(request.fingerprint)) is not None:
        return
    paces = {"max_steps": 1, "logging_steps": 1, "eval_steps": None, "checkpoint_steps": 1}
    rest = {"early_stopping_patience": None, "on_out_of_memory": "fail", "max_restarts": 0}
    one_step = request.model_copy(update={"training": request.training.model_copy(update=paces | rest), "choose": None})
    scratch = workspace.root / "probes"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trial-", dir=scratch) as path:
        folder = TrainingFolder(Path(path))
        try:
            train_in_child(one_step, folder, start=start)
        except (OutOfMemory, LossNotFinite):
            return
        except TrainingFailed as error:
            if (reason := _reason(folder)) is None:
                raise
            raise RecipeError(f"training: the trainer cannot be built as the recipe says: {reason}") from error


def _reason(folder: TrainingFolder) -> str | None:
    """What the trainer process said, in one line; None where it said nothing."""
    said = Failure.load_or_none(failure_file(folder))
    if said is None:
        return None
    line = " ".join(said.message.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
