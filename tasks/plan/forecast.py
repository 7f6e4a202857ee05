"""Time, memory and cost of a run from a short real probe: plain arithmetic, so that it can be checked by hand.

How it is worked out:

- The first quarter of the probe's steps is left out: they pay for allocations, caches and compilation.
- Time goes with the steps and with the tokens in them. The run is forecast both ways, from seconds a step and from
  seconds a token, and the mean is the forecast; half their difference is part of the margin.
- To that come the run's checkpoints, at the price of the one that the probe saves.
- The margin adds twice the standard error of the mean step and a flat 10 % for what a probe cannot see: the machine's
  other load, heat and evaluations. The true time lies between forecast / (1 + margin) and forecast x (1 + margin).
- An evaluation encodes each distinct text once, without padding worth counting; of the time that a training step takes
  for a token, a third is the forward pass (the backward pass has twice its products). Base and tuned model are scored
  on every suite, and the choosing suite at each look at it during the training, which several processes share.
- The whole run adds, for each process that loads the training stack, what the probe took before and after its steps.
- Memory starts from the peak of the probe's process, which has made one optimiser and saved one checkpoint and one
  model. Two things make it grow, and the larger one counts. What lies above weights, gradients, optimiser and
  libraries grows with the tokens of the largest batch: the run's largest, against the probe's largest. And on a CPU
  the resident memory creeps up as batches of ever new sizes fragment the heap: by the logarithm of the steps, at the
  pace of the probe's second half. Measured on runs of 100 to 300 steps that pace rises to one and a half, and the
  creeping ends before twelve times the probe's steps. The real peak may lie a quarter above the forecast all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.recipe.sections import PlanConfig
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import SUFFICES_CUT_SHARE, Forecast, PlanReport
from stsflow.tasks.records.tokens import LengthStatistics, TokenReport

_STATE_BYTES = 16
"""For each weight: the weight, its gradient and AdamW's two moments, all float32."""
_BLIND_MARGIN = 0.10
_FORWARD_SHARE = 1 / 3
_PROCESSES = 3
"""That load the training stack in a run: the trainer, the evaluation, and the one that hands the model to MLflow."""
_CREEP_RISE = 1.5
_CREEP_END = 12.0
_MEMORY_SHARE = 0.8
"""Share of the memory that a suggested batch size may fill: a run of 200 steps took a quarter more than forecast."""
_LARGEST_GROWTH = 8


class ProbeResult(Record):
    """What a few steps of the real trainer took, on one process."""

    step_seconds: tuple[float, ...]
    """Wall time of each step, in order."""
    cpu_seconds: tuple[float, ...]
    """CPU time of each step."""
    peak_memory_bytes: int
    """Most memory of the device (resident memory of the process on a CPU)."""
    memory_limit_bytes: int
    """Memory that there is."""
    process_bytes: int = 0
    """Memory of the process before it loaded the model: interpreter and libraries; 0 for a GPU's memory."""
    peaks: tuple[int, ...] = ()
    """Most resident memory up to each step; empty for a GPU's memory, which does not creep."""
    checkpoint_seconds: float = 0.0
    """Wall time of a checkpoint."""
    checkpoint_cpu_seconds: float = 0.0
    padded: bool = True
    """Whether its batches were padded."""
    startup_seconds: float = 0.0
    """Wall time of its process before and after its steps."""


@dataclass(frozen=True)
class TokenWork:
    """Tokens of the run's batches, padding included where the run pads, from the lengths of the rows."""

    step_tokens: npt.NDArray[np.int64]
    """Tokens of each optimiser step of the run on one process, in order; the probe's steps are its first ones."""
    largest_batch: npt.NDArray[np.int64]
    """Tokens of the largest batch of each of those steps."""
    padding_share: float
    """Share of padding among all tokens when batches are padded."""


def forecast(
    probe: ProbeResult, work: TokenWork, tokens: TokenReport, plan: PlanReport, base: BaseModelRef, config: PlanConfig,
    *, batch_size: int, checkpoints: int = 0, looks: Mapping[str, int] | None = None,
    processes: int = 1,
) -> Forecast:  # fmt: skip
    """Time, memory and suggestions for the run of `plan`, in which `checkpoints` are saved.

    `looks` says how often a suite is evaluated during the training, by its `processes` together.
    """
    seconds, margin = _extrapolate(probe.step_seconds, work.step_tokens, plan.steps)
    cpu, _ = _extrapolate(probe.cpu_seconds, work.step_tokens, plan.steps)
    seconds += checkpoints * probe.checkpoint_seconds
    cpu += checkpoints * probe.checkpoint_cpu_seconds
    fixed, growing = _memory(probe, base)
    steps = len(probe.step_seconds)
    growth = float(work.largest_batch.max()) / max(1.0, float(work.largest_batch[:steps].max()))
    growing = max(growing * growth, growing + _creep(probe.peaks, plan.steps))
    length, cut = suggested_length(tokens)
    shared = {name: times / processes for name, times in (looks or {}).items()}
    evaluation = _evaluation_seconds(probe, work, tokens, shared)
    cost = None if config.price_per_hour is None else seconds / 3600 * config.price_per_hour
    return Forecast(
        probe_steps=steps,
        train_seconds=seconds,
        train_seconds_low=seconds / (1 + margin),
        train_seconds_high=seconds * (1 + margin),
        evaluation_seconds=evaluation,
        whole_seconds=seconds + evaluation + _PROCESSES * probe.startup_seconds,
        cpu_seconds=cpu,
        peak_memory_bytes=int(fixed + growing),
        memory_limit_bytes=probe.memory_limit_bytes,
        padding_share=work.padding_share,
        suggested_max_seq_length=length,
        suggested_cut_share=cut,
        suggested_batch_size=_suggested_batch(fixed, growing, probe.memory_limit_bytes, batch_size),
        cost=cost,
        currency=config.currency if cost is not None else "",
    )


def forecast_findings(forecast: Forecast, batch_size: int) -> tuple[Finding, ...]:
    """An error where the run will not fit the memory, a warning where it nearly fills it."""
    share = forecast.peak_memory_bytes / max(1, forecast.memory_limit_bytes)
    if share <= _MEMORY_SHARE:
        return ()
    fits = forecast.suggested_batch_size
    smaller = f"Use batch_size: {fits}" if fits and fits < batch_size else "Use a smaller batch_size or model"
    needed, there = forecast.peak_memory_bytes / 2**30, forecast.memory_limit_bytes / 2**30
    shorter = (
        f"model.max_seq_length: {forecast.suggested_max_seq_length} (cuts {forecast.suggested_cut_share:.2%} of the "
        "texts)"
        if forecast.length_suffices
        else "a smaller model.max_seq_length (which cuts even more texts)"
    )
    remedy = f"{smaller}, {shorter}, or training.gradient_checkpointing: true."
    return (
        Finding(
            severity="error" if share > 1 else "warning",
            code="forecast.out_of_memory" if share > 1 else "forecast.memory_tight",
            subject="training.batch_size",
            message=f"The largest batch of the run will take about {needed:.1f} GiB of the {there:.1f} GiB there are.",
            remedy=remedy,
            numbers={
                "peak_memory_bytes": float(forecast.peak_memory_bytes),
                "memory_limit_bytes": float(forecast.memory_limit_bytes),
            },
        ),
    )


def suggested_length(tokens: TokenReport, cut_share: float = SUFFICES_CUT_SHARE) -> tuple[int, float]:
    """The smallest multiple of 8 that cuts at most `cut_share` of the training texts, and the share that it cuts.

    Never above the report's max_seq_length: then that one, with its share.
    """
    counts: dict[int, int] = {}
    for entry in tokens.sets:
        for column in entry.columns.values() if entry.role == "train" else ():
            for length, rows in column.histogram.items():
                counts[length] = counts.get(length, 0) + rows
    total = max(1, sum(counts.values()))

    def cut(limit: int) -> float:
        return sum(rows for length, rows in counts.items() if length > limit) / total

    for limit in range(8, tokens.max_seq_length, 8):
        if cut(limit) <= cut_share:
            return limit, cut(limit)
    return tokens.max_seq_length, cut(tokens.max_seq_length)


def _evaluation_seconds(probe: ProbeResult, work: TokenWork, tokens: TokenReport, looks: Mapping[str, float]) -> float:
    """Seconds that the run's evaluations spend on encoding; a look that N processes share counts 1 / N."""
    warm = _warm(probe.step_seconds)
    probed = float(work.step_tokens[warm : len(probe.step_seconds)].sum())
    if not probed:
        return 0.0
    encoded = 0.0
    for entry in tokens.sets:
        if entry.role == "evaluation":
            times = 2 + looks.get(entry.name, 0)
            encoded += times * sum(_distinct_tokens(column, tokens.max_seq_length) for column in entry.columns.values())
    return _FORWARD_SHARE * sum(probe.step_seconds[warm:]) / probed * encoded


def _distinct_tokens(column: LengthStatistics, limit: int) -> float:
    fed = sum(min(length, limit) * rows for length, rows in column.histogram.items())
    return fed * column.distinct / max(1, column.rows)


def _warm(seconds: tuple[float, ...]) -> int:
    """Steps at the beginning that do not count."""
    return min(max(2, len(seconds) // 4), len(seconds) - 1)


def _extrapolate(seconds: tuple[float, ...], tokens: npt.NDArray[np.int64], steps: int) -> tuple[float, float]:
    """Seconds of `steps` steps, and the relative margin around them."""
    warm = _warm(seconds)
    measured = np.array(seconds[warm:])
    by_step = float(measured.mean()) * steps
    probed = float(tokens[warm : len(seconds)].sum())
    by_token = float(measured.sum()) * float(tokens.sum()) / probed if probed else by_step
    middle = (by_step + by_token) / 2
    error = (
        2 * float(measured.std(ddof=1)) / math.sqrt(len(measured)) / float(measured.mean())
        if len(measured) > 1
        else 0.5
    )
    return middle, _BLIND_MARGIN + error + abs(by_step - by_token) / 2 / middle


def _memory(probe: ProbeResult, base: BaseModelRef) -> tuple[float, float]:
    """Of the probe's peak, the part that every batch has, and the part that grows with the batch."""
    fixed = min(base.parameters * _STATE_BYTES + probe.process_bytes, probe.peak_memory_bytes)
    return float(fixed), float(probe.peak_memory_bytes - fixed)


def _creep(peaks: tuple[int, ...], steps: int) -> float:
    """Bytes by which the resident memory will have crept up above the last of `peaks` after `steps` steps."""
    measured, half = len(peaks), len(peaks) // 2
    if half < 2 or steps <= measured:
        return 0.0
    pace = (peaks[-1] - peaks[half - 1]) / math.log(measured / half)
    return _CREEP_RISE * pace * math.log(min(steps / measured, _CREEP_END))


def _suggested_batch(fixed: float, growing: float, limit: int, batch_size: int) -> int | None:
    """Largest batch size that fits, from the present one by doubling or halving; None when not even one row does."""

    def fits(size: float) -> bool:
        return fixed + growing * size / batch_size <= _MEMORY_SHARE * limit

    size = batch_size
    while size > 1 and not fits(size):
        size //= 2
    while size < batch_size * _LARGEST_GROWTH and fits(2 * size) and size >= batch_size:
        size *= 2
    return size if fits(size) else None
