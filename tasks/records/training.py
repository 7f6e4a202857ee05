"""A finished training."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.merging import Merge
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import Exposure


class LogRow(Record):
    """One row of the card's training log."""

    epoch: float
    step: int
    loss: float | None = None
    """Mean training loss since the row before."""
    metric: float | None = None
    """Choosing metric at this step."""


class TrainedAdapter(Record):
    """An adapter that was trained beside frozen weights, and merged into them."""

    trained: int
    """Parameters that were trained."""
    parameters: int
    """Parameters of the model with them."""
    layers: tuple[str, ...]
    """Layers that have it, by the last part of their names."""
    difference: float
    """Largest distance of a text's unit-length embedding before and after merging."""
    texts: int
    """Training texts that this was measured on."""


class MeasuredEnergy(Record):
    """Energy of one part of the machine during the training loop, over all attempts."""

    part: str
    """`processor` or `gpu`."""
    joules: float | None
    """None where it was not measured."""
    how: str
    """The counters that it was read from; why it was not measured."""


class TrainedModel(Record):
    """A finished training."""

    fingerprint: str
    folder: Path
    """The training's folder (see workspace.TrainingFolder)."""
    model: Path
    """The model folder."""
    model_digest: str
    """SHA-256 over the model folder (README.md left out: the card is written later)."""
    weights_sha256: str
    steps: int
    """Optimiser steps that were done."""
    epochs: float
    best_step: int | None
    """Step of the chosen checkpoint; None when the last one was kept without choice."""
    best_metric: float | None
    choose_metric: str
    """Full name of the choosing metric, such as `sts-dev_spearman_cosine`; empty without choice."""
    train_loss: float
    """Mean over all steps."""
    train_seconds: float
    """Wall time in the loop, over all attempts."""
    cpu_seconds: float
    peak_memory_bytes: int
    """Resident memory of the trainer at its peak; GPU memory is in `hardware`."""
    energy: tuple[MeasuredEnergy, ...] = ()
    log: tuple[LogRow, ...]
    exposure: tuple[Exposure, ...] = ()
    """Counted from the batches that were fed."""
    levers: tuple[LeverState, ...] = ()
    hyperparameters: dict[str, object] = {}
    """Every argument of the trainer as it ran."""
    non_default: tuple[str, ...] = ()
    """Names among `hyperparameters` that differ from the library's default."""
    losses: dict[str, dict[str, object]] = {}
    """By data set: class name (`name`), parameters (`parameters`), citation (`citation`)."""
    guide: BaseModelRef | None = None
    """The model that looked at the batches, where a loss needed one."""
    widget: tuple[tuple[str, ...], ...] = ()
    """Sentences from the data for the card's widget: source first, then others."""
    architecture: str = ""
    """`print(model)` of the finished model."""
    dimension: int = 0
    max_seq_length: int = 0
    similarity: str = "cosine"
    environment: dict[str, str] = {}
    """Versions and hardware (see environment.py)."""
    attempts: int = 1
    """Trainer processes that it took; more than one after a resume."""
    resumed_from: tuple[int, ...] = ()
    """Steps at which later attempts began."""
    stopped_early: bool = False
    findings: tuple[Finding, ...] = ()
    adapter: TrainedAdapter | None = None
    """None where the weights themselves were trained."""
    merge: Merge | None = None
    """How the tuned weights were averaged with those of the base model; None where `model` is what was trained."""
    reused: bool = False
    """Found finished; nothing was trained in this run."""
