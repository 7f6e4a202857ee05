"""What a run will show to the model, and what it will take."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.mining import MiningAudit


class Exposure(Record):
    """What the model sees of one training set."""

    name: str
    rows: int
    batches: int
    """Batches over the whole run; of several processes each takes a part of every one."""
    batches_per_epoch: int
    rows_seen: int
    """Rows fed in the whole run, repeats counted each time."""
    rows_seen_per_epoch: int
    unique_rows_seen: int
    """Distinct rows fed in the whole run."""
    repeats: int
    """rows_seen - unique_rows_seen."""
    seen_share: float
    """unique_rows_seen / rows."""
    seen_share_per_epoch: float
    """rows_seen_per_epoch / rows."""
    left_out_by_sampler: int
    """Rows that the sampler itself does not give in an epoch (incomplete or duplicate-bound last batches)."""
    batch_size: int
    """Rows in a batch on one device."""
    effective_batch_size: int
    """Rows in an optimiser step: batch size x processes x accumulation."""
    in_batch_negatives: float
    """Mean number of negatives that an anchor meets; 0 for losses without them."""


class PlanReport(Record):
    """What a recipe will do, worked out before the trainer starts."""

    steps: int
    """Optimiser steps of the run."""
    steps_per_epoch: int
    epochs: float
    exposure: tuple[Exposure, ...]
    ends_with: str
    """Why an epoch ends, in words."""
    findings: tuple[Finding, ...] = ()
    """Problems first, each with its remedy."""
    forecast: Forecast | None = None
    mining: tuple[MiningAudit, ...] = ()
    """What mining did to training sets, where it did something."""


SUFFICES_CUT_SHARE = 0.01
"""A length suffices that cuts no larger share of the training texts."""


class Forecast(Record):
    """Time and memory of the run, from a short real probe."""

    probe_steps: int
    train_seconds: float
    train_seconds_low: float
    train_seconds_high: float
    evaluation_seconds: float | None = None
    """Encoding for base and tuned model on every suite that has rows here, and for the looks during the training."""
    whole_seconds: float | None = None
    """Training, evaluations, and the start of the processes; without downloads, resampling and the records."""
    cpu_seconds: float
    peak_memory_bytes: int
    memory_limit_bytes: int
    padding_share: float
    suggested_max_seq_length: int
    suggested_cut_share: float
    """Share of texts that the suggested length would cut."""
    suggested_batch_size: int | None = None
    cost: float | None = None
    currency: str = ""

    @property
    def length_suffices(self) -> bool:
        """Whether the suggested length cuts next to nothing; it is never above the run's own."""
        return self.suggested_cut_share <= SUFFICES_CUT_SHARE
