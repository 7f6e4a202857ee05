"""One attempt at a training, inside the worker: load, train, choose, write the model and the result."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import DatasetDict
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from tasks.files import folder_made_whole
from tasks.records import LeverState
from tasks.training.arguments import Pace, trainer_arguments
from tasks.training.batches import open_set
from tasks.training.checkpoints import drop_unfinished, last_whole
from tasks.training.events import EventLog
from tasks.training.ledger import Ledger
from tasks.training.outcome import Attempt, trained_model
from tasks.training.request import ChooseOn, WorkerSpec
from tasks.training.trainer import Reporter, Trainer, spent
from tasks.workspace import TrainingFolder

if TYPE_CHECKING:
    from torch import nn


def run_session(spec: WorkerSpec, folder: TrainingFolder, rank: int = 0) -> None:
    """Train what `spec` asks for, from the last whole checkpoint in `folder` or from the base model.

    Leaves `model/` and then `result.json`. Raises BatchFailed, OSError, a Refused, or what the libraries raise.
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
    trainer, reporter, levers = prepare(spec, folder, events, resume)
    phase(events, "train", resumed_from=int(resume.name.rpartition("-")[2]) if resume else 0)
    train(trainer, reporter, resume)
    if events:
        finish(spec, folder, trainer, levers, events, reporter)
    trainer.accelerator.wait_for_everyone()


def phase(events: EventLog | None, name: str, **details: Any) -> None:
    """Say which phase begins."""
    if events:
        events.write("phase", text=name, details={"process_id": os.getpid()} | details)


def prepare(
    spec: WorkerSpec, folder: TrainingFolder, events: EventLog | None, resume: Path | None
) -> tuple[Trainer, Reporter, tuple[LeverState, ...]]:
    """The trainer, ready to start, with what the speed levers came to."""
    import torch
    from transformers import set_seed

    request, config = spec.request, spec.request.training
    if spec.threads:
        torch.set_num_threads(spec.threads)
    set_seed(config.seed)  # a fresh head, where there is one, is drawn before the trainer seeds again
    device, precision, levers = choose_hardware(spec)
    model = load_base(spec, device)
    levers += padding_free(spec, model, device, precision)
    arguments = SentenceTransformerTrainingArguments(
        **trainer_arguments(
            config,
            folder.checkpoints,
            pace=Pace.of(config, chooses=request.choose is not None),
            metric=request.choose.full_metric if request.choose else None,
            cuda=device == "cuda",
            precision=precision,
            eval_batch=request.choose.batch_size if request.choose else 8,
        )
    )
    sets = DatasetDict({prepared.name: open_set(prepared) for prepared in request.sets})
    trainer = Trainer(
        checkpoints=folder.checkpoints,
        keep=config.keep_checkpoints,
        ledger=Ledger({name: len(rows) for name, rows in sets.items()}),
        batch_sizes=config.batch_sizes,
        parts=spec.parts,
        resume=resume,
        model=model,
        args=arguments,
        train_dataset=sets,
        loss=build_losses(spec, model),
        evaluator=build_evaluator(request.choose) if request.choose else None,
    )
    reporter = Reporter(trainer, events, config.early_stopping_patience, config.early_stopping_threshold)
    if request.choose:
        reporter.suite = request.choose.suite
    trainer.add_callback(reporter)
    return trainer, reporter, levers


def choose_hardware(spec: WorkerSpec) -> tuple[str, str, tuple[LeverState, ...]]:
    """Device (`cpu`, `cuda`) and precision (`float32`, `bf16`, `fp16`) of this training, and why."""
    import torch

    config = spec.request.training
    device = config.device if config.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    precision = config.precision if config.precision != "auto" else "float32"
    state = LeverState(name="precision", asked=config.precision, chosen=precision, reason="")
    return device, precision, (state,)


def load_base(spec: WorkerSpec, device: str) -> SentenceTransformer:
    """The base model, with the recipe's length limit."""
    base = spec.request.base
    model = SentenceTransformer(str(base.path), device=device, trust_remote_code=base.trust_remote_code)
    model.max_seq_length = base.max_seq_length
    return model


def padding_free(spec: WorkerSpec, model: SentenceTransformer, device: str, precision: str) -> tuple[LeverState, ...]:
    """Open the padding-free path where the recipe and the architecture allow it."""
    return ()


def build_losses(spec: WorkerSpec, model: SentenceTransformer) -> dict[str, nn.Module]:
    """A loss for each training set, all over the same model."""
    return {prepared.name: spec.loss_of(prepared.name).build(model) for prepared in spec.request.sets}


def build_evaluator(choose: ChooseOn) -> EmbeddingSimilarityEvaluator:
    """The choosing suite: all ten metrics at the price of one encoding."""
    rows = open_set(choose.data)
    return EmbeddingSimilarityEvaluator(
        rows["sentence1"], rows["sentence2"], rows["score"], name=choose.suite, batch_size=choose.batch_size,
        similarity_fn_names=["cosine", "manhattan", "euclidean", "dot"], write_csv=False,
    )  # fmt: skip


def train(trainer: Trainer, reporter: Reporter, resume: Path | None) -> None:
    """Run the loop to its end; a checkpoint that is the end already is only loaded."""
    if resume is not None and trainer.place.finished:
        # The library would train one step more: it looks for the end only after a step.
        reporter.started = time.monotonic()
        trainer.load_finished(resume)
    else:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if trainer.state.best_global_step is not None:
        trainer.load_best()


def finish(
    spec: WorkerSpec, folder: TrainingFolder, trainer: Trainer, levers: tuple[LeverState, ...], events: EventLog,
    reporter: Reporter,
) -> None:  # fmt: skip
    """Write the model whole, then the result, then the last event."""
    phase(events, "save")
    if folder.model.exists():
        import shutil

        shutil.rmtree(folder.model)  # without a result beside it, nobody uses it
    with folder_made_whole(folder.model) as target:
        trainer.model.save_pretrained(str(target), create_model_card=False)
    seconds = time.monotonic() - reporter.started
    values = spent(seconds)
    # Before the record is made: it adds up the attempts from the log.
    events.write("progress", step=trainer.state.global_step, epoch=trainer.state.epoch, values=values)
    result = trained_model(spec, folder, Attempt(trainer, levers))
    result.write(folder.result)
    best = {} if result.best_metric is None else {"best_metric": result.best_metric}
    events.write("done", step=result.steps, epoch=result.epochs, values={"train_loss": result.train_loss} | best)
    events.close()
