"""One attempt at a training, inside the worker: load, train, choose, write the model and the result."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from datasets import DatasetDict
from transformers import set_seed

from stsflow.tasks.batching.build import build_batches, read_sets
from stsflow.tasks.batching.ledger import Ledger
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.files import folder_made_whole
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.models.adapter import add_adapter
from stsflow.tasks.models.dropout import masks_drawn, quicken_dropout
from stsflow.tasks.models.hardware import choose_device, choose_precision
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.models.loading import load_encoder, load_helper
from stsflow.tasks.models.merge_columns import MergedColumns
from stsflow.tasks.models.padding_free import counters, is_padding_free
from stsflow.tasks.sets.rows import training_rows
from stsflow.tasks.training.adapted import keep_and_merge
from stsflow.tasks.training.arguments import Pace, trainer_arguments
from stsflow.tasks.training.checkpoints import drop_unfinished, last_whole
from stsflow.tasks.training.choosing import ChoosingEvaluator
from stsflow.tasks.training.energy import EnergyMeter
from stsflow.tasks.training.events import EventLog
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.outcome import trained_model
from stsflow.tasks.training.processes import join
from stsflow.tasks.training.reporter import Reporter, spent
from stsflow.tasks.training.request import WorkerSpec
from stsflow.tasks.training.trainer import ExactTrainer, trainer_of

if TYPE_CHECKING:
    from torch import nn

    from stsflow.tasks.models.kinds import Encoder


@dataclass(frozen=True)
class Session:
    """What one attempt works with."""

    trainer: ExactTrainer
    reporter: Reporter
    levers: tuple[LeverState, ...]
    merged: dict[str, MergedColumns]

    def levers_with_proof(self) -> tuple[LeverState, ...]:
        """The levers with what their own counters say, now that the training is done (this attempt alone)."""
        proofs = {
            "padding_free": counters(self.trainer.model),
            "merge_columns": {"merged_batches": float(sum(loss.merged_batches for loss in self.merged.values()))},
            "word_dropout": {"masks": float(masks_drawn(self.trainer.model))},
        }
        return tuple(
            replace(lever, proof=lever.proof | proofs.get(lever.name, {}))
            if lever.chosen == "on" else lever
            for lever in self.levers
        )  # fmt: skip


def run_session(spec: WorkerSpec, folder: TrainingFolder, rank: int = 0) -> None:
    """Train what `spec` asks for, from the last whole checkpoint in `folder` or from the base model.

    Leaves `model/` and then `result.json`. Raises BatchFailedError, OSError, a Refused, or what the libraries raise.
    """
    events = EventLog(folder.events, spec.attempt) if rank == 0 else None
    if events:
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        drop_unfinished(folder.checkpoints)
    resume, passed_over = last_whole(folder.checkpoints)
    phase(events, "load")
    for sentence in passed_over:
        if events:
            events.write("finding", text=sentence, details={"code": "checkpoint.not_whole"})
    session = prepare(spec, folder, events, resume)
    energy = session.reporter.energy
    if events:
        energy.start()
    phase(events, "train", resumed_from=int(resume.name.rpartition("-")[2]) if resume else 0, energy=energy.said())
    run_loop(session.trainer, session.reporter, resume)
    add_up_ledgers(session.trainer.ledger)
    if events:
        finish(spec, folder, session, events)


def phase(events: EventLog | None, name: str, **details: Any) -> None:
    """Say which phase begins, and what the process has taken so far."""
    if events:
        events.write(
            "phase",
            text=name,
            values={"peak_memory_bytes": spent(0.0)["peak_memory_bytes"]},
            details={"process_id": os.getpid()} | details,
        )


def prepare(spec: WorkerSpec, folder: TrainingFolder, events: EventLog | None, resume: Path | None) -> Session:
    """The trainer, ready to start."""
    request, config = spec.request, spec.request.training
    kind = ModelKind.named(request.base.model_kind)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device.chosen)
    join(device.chosen == "cuda", config.hang_timeout_seconds)
    set_seed(config.seed)  # a fresh head, where there is one, is drawn before the trainer seeds again
    model = load_encoder(request.base, device=device.chosen, pooling=request.base.pooling)
    if config.adapter is not None:
        add_adapter(model, config.adapter, request.base.name)
    flattening = kind.flatten(model, config.padding_free, device.chosen, precision.chosen)
    dropping = quicken_dropout(model, config.word_dropout, device.chosen)
    losses, merged, merging = build_losses(spec, model)
    arguments = kind.arguments_class()(
        **trainer_arguments(
            config,
            folder.checkpoints,
            pace=Pace.of(config, chooses=request.choose is not None),
            metric=request.choose.full_metric if request.choose else None,
            cuda=device.chosen == "cuda",
            precision=precision.chosen,
            eval_batch=request.choose.batch_size if request.choose else 8,
            prompts=request.prompts,
        )
    )
    sets = DatasetDict({prepared.name: training_rows(prepared) for prepared in request.sets})
    batches = build_batches(
        read_sets(
            request.sets, config, request.losses, base=request.base, lengths=request.lengths, prompts=request.prompts
        ),
        config, launcher_of(config).world_size,
    )  # fmt: skip
    trainer = trainer_of(kind)(
        checkpoints=folder.checkpoints,
        keep=config.keep_checkpoints,
        ledger=Ledger({name: len(rows) for name, rows in sets.items()}),
        batches=batches,
        parts=spec.parts,
        resume=resume,
        model=model,
        args=arguments,
        train_dataset=sets,
        loss=losses,
        evaluator=ChoosingEvaluator(request.choose) if request.choose else None,
    )
    suite = request.choose.suite if request.choose else ""
    reporter = Reporter(
        trainer, events, suite, config.early_stopping_patience, config.early_stopping_threshold,
        energy_meter(trainer),
    )  # fmt: skip
    trainer.add_callback(reporter)
    return Session(trainer, reporter, (device, precision, flattening, merging, dropping), merged)


def energy_meter(trainer: ExactTrainer) -> EnergyMeter:
    """Of this machine's processor, and of the GPUs of all processes on it, one each."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_gpus = trainer.args.device.type == "cuda"
    gpus = [str(torch.cuda.get_device_properties(number).uuid) for number in range(here if on_gpus else 0)]
    return EnergyMeter(gpus, of_the_whole=trainer.args.world_size == here)


def build_losses(spec: WorkerSpec, model: Encoder) -> tuple[dict[str, nn.Module], dict[str, MergedColumns], LeverState]:
    """A loss for each training set over the same model, and those of them that encode all columns at once."""
    chosen = {prepared.name: spec.loss_of(prepared.name) for prepared in spec.request.sets}
    guide = frozen_guide(spec, model)
    built = {name: loss.build(model, guide) for name, loss in chosen.items()}
    if torch.distributed.is_initialized():
        for name, loss in chosen.items():
            loss.join_processes(built[name])
    for name, tokens in token_budgets(spec).items():
        chosen[name].limit_tokens(built[name], tokens)
    asked = spec.request.training.merge_columns
    if asked == "off":
        return built, {}, _merge_state(asked, "off", "the recipe says off")
    if not is_padding_free(model):
        reason = "batches are padded, and a padded batch of all columns is more work than one for each"
        return built, {}, _merge_state(asked, "off", reason)
    merged = {name: MergedColumns(built[name]) for name, loss in chosen.items() if loss.is_of_embeddings_alone}
    if not merged:
        return built, {}, _merge_state(asked, "off", "no loss of this training can be given its embeddings at once")
    return built | merged, merged, _merge_state(asked, "on", f"one flattened forward pass for {', '.join(merged)}")


def frozen_guide(spec: WorkerSpec, model: Encoder) -> Encoder | None:
    """The guide beside `model`, loaded once for all losses: without gradients and dropout, no part of what is saved.

    Its batches are flattened where those of `model` are, as it may be given the same.
    """
    if (ref := spec.request.guide) is None:
        return None
    device, config = model.device.type, spec.request.training
    guide = load_helper(ref, device=device).requires_grad_(False)
    asked: Literal["auto", "off"] = "auto" if is_padding_free(model) else "off"
    ModelKind.named(ref.model_kind).flatten(guide, asked, device, choose_precision(config.precision, device).chosen)
    return guide


def token_budgets(spec: WorkerSpec) -> dict[str, int]:
    """Tokens that the losses which bound their own memory encode at a time; their batch is as large as the recipe says.

    A lighter form of such a loss, which takes fewer rows at a time, gets as much less.
    """
    tokens, budgets = spec.request.training.batch_tokens, dict[str, int]()
    for name, loss in spec.request.losses.items():
        asked, now = loss.rows_at_a_time, spec.loss_of(name).rows_at_a_time
        if tokens and asked and now:
            budgets[name] = max(tokens * now // asked, 1)
    return budgets


def _merge_state(asked: str, chosen: str, reason: str) -> LeverState:
    if asked == "on" and chosen == "off":
        raise PreconditionError(f"training.merge_columns is `on`, but {reason}; set it to `auto` or `off`.")
    return LeverState(name="merge_columns", asked=asked, chosen=chosen, reason=reason)


def run_loop(trainer: ExactTrainer, reporter: Reporter, resume: Path | None) -> None:
    """Run the loop to its end; a checkpoint that is the end already is only loaded."""
    if resume is not None and trainer.place.finished:
        # The library would train one step more: it looks for the end only after a step.
        reporter.started = time.monotonic()
        trainer.load_finished(resume)
    else:
        if trainer.args.process_index:  # with the first one's masks all would leave out the same parts of the model
            torch.manual_seed(trainer.args.seed + trainer.args.process_index)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if trainer.state.best_global_step is not None:
        trainer.load_best()


def add_up_ledgers(ledger: Ledger) -> None:
    """Add to the first process's ledger what the others were fed."""
    if not torch.distributed.is_initialized():
        return
    first = torch.distributed.get_rank() == 0
    of_each: list[Any] | None = [None] * torch.distributed.get_world_size() if first else None
    torch.distributed.gather_object(ledger, of_each)
    for other in (of_each or [])[1:]:
        ledger.add(other)


def finish(spec: WorkerSpec, folder: TrainingFolder, session: Session, events: EventLog) -> None:
    """Write the model whole, then the result, then the last event."""
    trainer = session.trainer
    phase(events, "save")
    if folder.model.exists():
        shutil.rmtree(folder.model)  # without a result beside it, nobody uses it
    levers, adapter = session.levers_with_proof(), None
    if spec.request.training.adapter is not None:
        shutil.rmtree(folder.adapter, ignore_errors=True)
        plain = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)  # bf16 would hide a fault
        adapter = keep_and_merge(spec.request, plain, folder.adapter)
    with folder_made_whole(folder.model) as target:
        trainer.kind.save(trainer.model, target)
    # Before the record is made: it adds up the attempts from the log.
    values = session.reporter.spent()
    session.reporter.energy.stop()
    events.write("progress", step=trainer.state.global_step, epoch=trainer.state.epoch, values=values)
    result = trained_model(spec, folder, trainer, levers, adapter)
    result.write(folder.result)
    best = {} if result.best_metric is None else {"best_metric": result.best_metric}
    events.write("done", step=result.steps, epoch=result.epochs, values={"train_loss": result.train_loss} | best)
    events.close()
