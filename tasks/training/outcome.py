"""The record of a finished training, made from the trainer, its event log and the model on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stsflow.tasks.batching.build import sampler_of
from stsflow.tasks.batching.drawn import planned_exposure
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.fingerprint import sha256_of_model, sha256_of_weights
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.models.merge_columns import MergedColumns
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.plan import Exposure
from stsflow.tasks.records.training import LogRow, TrainedAdapter, TrainedModel
from stsflow.tasks.sets.rows import training_rows
from stsflow.tasks.training.energy import measured_energy
from stsflow.tasks.training.events import Event, read_events
from stsflow.tasks.training.request import TrainingRequest, WorkerSpec
from stsflow.tasks.training.trainer import ExactTrainer

WIDGETS = 5
WIDGET_SENTENCES = 4


def trained_model(
    spec: WorkerSpec, folder: TrainingFolder, trainer: ExactTrainer, levers: tuple[LeverState, ...],
    adapter: TrainedAdapter | None = None,
) -> TrainedModel:  # fmt: skip
    """The record. `model/` is written already; nothing is left to do but to keep this."""
    state, request = trainer.state, spec.request
    events = read_events(folder.events)
    exposure, differences = exposures(request, trainer)
    arguments, non_default = hyperparameters(trainer, request)
    described = trainer.kind.describe(trainer.model)
    return TrainedModel(
        fingerprint=spec.fingerprint,
        folder=folder.root,
        model=folder.model,
        model_digest=sha256_of_model(folder.model),
        weights_sha256=sha256_of_weights(folder.model),
        steps=state.global_step,
        epochs=float(state.epoch or 0.0),
        best_step=state.best_global_step,
        best_metric=None if state.best_global_step is None else state.best_metric,  # -inf where none was defined
        choose_metric=request.choose.full_metric if request.choose else "",
        train_loss=trainer.mean_loss(),
        train_seconds=over_attempts(events, "train_seconds", sum),
        cpu_seconds=over_attempts(events, "cpu_seconds", sum),
        peak_memory_bytes=int(over_attempts(events, "peak_memory_bytes", max)),
        energy=measured_energy(events),
        log=log_rows(events),
        exposure=exposure,
        adapter=adapter,
        levers=levers,
        hyperparameters=arguments,
        non_default=non_default,
        losses={name: loss.describe(unmerged(trainer.loss[name])) for name, loss in request.losses.items()},
        guide=request.guide,
        widget=widgets(request),
        architecture=described.architecture,
        dimension=described.dimension,
        max_seq_length=int(described.max_seq_length or request.base.max_seq_length),
        similarity=described.similarity,
        environment=versions() | request.versions | hardware() | device_facts(trainer),
        attempts=spec.attempt,
        resumed_from=resumed_from(events),
        stopped_early=trainer.place.stopped_early,
        findings=findings(events) + differences,
    )


def hyperparameters(trainer: ExactTrainer, request: TrainingRequest) -> tuple[dict[str, object], tuple[str, ...]]:
    """Every argument as it ran, and the names of those that differ from the library's defaults."""
    ran = trainer.args.to_dict()
    default = trainer.kind.arguments_class()(output_dir="unused").to_dict()
    config = request.training
    # The library is not told, because it would load the best checkpoint its own way; it is what happens all the same.
    ran["load_best_model_at_end"] = request.choose is not None
    ran["save_total_limit"] = config.keep_checkpoints
    samplers: dict[str, str] = {name: sampler_of(name, config, loss) for name, loss in request.losses.items()}
    one = set(samplers.values())
    ran["batch_sampler"] = one.pop() if len(one) == 1 else samplers
    ran["multi_dataset_batch_sampler"] = config.multi_dataset_batch_sampler
    ran.pop("output_dir")
    for secret in ("hub_token", "push_to_hub_token"):
        ran.pop(secret, None)
    differing = [name for name, value in ran.items() if name not in NOT_ABOUT_LEARNING and value != default.get(name)]
    return ran, tuple(differing)


NOT_ABOUT_LEARNING = frozenset({"disable_tqdm", "report_to", "run_name", "logging_nan_inf_filter", "logging_dir"})
"""Arguments that stsflow sets for its own ways of working; a reader who compares two cards gains nothing from them."""


def unmerged(loss: Any) -> Any:
    """The loss itself, without the wrapper that encodes all columns at once."""
    return loss.loss if isinstance(loss, MergedColumns) else loss


def log_rows(events: Sequence[Event]) -> tuple[LogRow, ...]:
    """The card's training log: steps that have a training loss, the choosing metric, or both."""
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.step is None or event.kind not in ("log", "evaluation"):
            continue
        row = rows.setdefault(event.step, {"step": event.step, "epoch": event.epoch or 0.0})
        if event.kind == "log":
            row["loss"] = event.values.get("loss")
        else:
            row["metric"] = event.values.get(str(event.details.get("metric", "")))
    return tuple(LogRow(**rows[step]) for step in sorted(rows))


def exposures(request: TrainingRequest, trainer: ExactTrainer) -> tuple[tuple[Exposure, ...], tuple[Finding, ...]]:
    """What the model was fed of each set, counted from the batches, and where that differs from the plan."""
    columns = {item.name: len(item.roles.texts) for item in request.sets}
    accumulation = request.training.gradient_accumulation_steps
    planned = planned_exposure(trainer.batches, trainer.state.global_step, accumulation, request.losses, columns)
    return trainer.ledger.actual(planned), trainer.ledger.differences(planned)


def over_attempts(events: Sequence[Event], name: str, combine: Any) -> float:
    """A number that each attempt's progress counts on its own: its last value of each attempt, combined."""
    last: dict[int, float] = {}
    for event in events:
        if name in event.values:
            last[event.attempt] = event.values[name]
    return float(combine(last.values())) if last else 0.0


def resumed_from(events: Sequence[Event]) -> tuple[int, ...]:
    """Steps at which later attempts took up."""
    starts = [event for event in events if event.kind == "phase" and event.text == "train" and event.attempt > 1]
    return tuple(int(str(event.details.get("resumed_from", 0))) for event in starts)


def findings(events: Sequence[Event]) -> tuple[Finding, ...]:
    """What the attempts came across, once each."""
    found: dict[str, Finding] = {}
    for event in events:
        if event.kind == "finding":
            code = str(event.details.get("code", "training"))
            found[event.text] = Finding(severity="warning", code=code, subject="training", message=event.text)
    return tuple(found.values())


def widgets(request: TrainingRequest) -> tuple[tuple[str, ...], ...]:
    """Sentences for the card's widget: a source sentence and three others, from rows spread over the sets."""
    chosen: list[tuple[str, ...]] = []
    for number in range(WIDGETS):
        prepared = request.sets[number % len(request.sets)]
        rows = training_rows(prepared)
        first = len(rows) * number // WIDGETS
        sentences: list[str] = []
        for row in range(first, min(first + WIDGET_SENTENCES, len(rows))):
            sentences += [rows[row][column] for column in prepared.roles.texts if rows[row][column] not in sentences]
        if len(sentences) > 1:
            chosen.append(tuple(sentences[:WIDGET_SENTENCES]))
    return tuple(chosen)


def device_facts(trainer: ExactTrainer) -> dict[str, str]:
    """Device, threads, and the GPU with its peak memory where there is one."""
    import torch

    facts = {"device": trainer.args.device.type, "threads": str(torch.get_num_threads())}
    if torch.cuda.is_available() and trainer.args.device.type == "cuda":
        facts |= {
            "gpu": torch.cuda.get_device_name(),
            "gpu_peak_memory_gib": f"{torch.cuda.max_memory_allocated() / 2**30:.2f}",
            "cuda": str(torch.version.cuda),
        }
    return facts
