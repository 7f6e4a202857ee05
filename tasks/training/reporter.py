"""What the trainer tells while it trains, and what its last step gets."""

# ruff: noqa: ARG002  the library decides which arguments a callback is given
from __future__ import annotations

import math
import resource
import time
from typing import Any

from transformers import TrainerCallback

from stsflow.tasks.training.energy import EnergyMeter
from stsflow.tasks.training.events import EventLog
from stsflow.tasks.training.trainer import ExactTrainer

PROGRESS_SECONDS = 0.5


class Reporter(TrainerCallback):
    """Writes the event log, stops early, and gives the last step its evaluation, log point and checkpoint."""

    def __init__(
        self, trainer: ExactTrainer, events: EventLog | None, suite: str, patience: int | None, threshold: float,
        energy: EnergyMeter,
    ) -> None:  # fmt: skip
        self.trainer = trainer
        self.events = events
        self.energy = energy
        self.patience = patience
        self.threshold = threshold
        self.best = -math.inf
        self.suite = suite
        self.started = 0.0
        self.first_step = 0
        self._last_progress = 0.0
        self._last_evaluation = -1
        self._last_checkpoint = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up where the checkpoint left off."""
        self.started = time.monotonic()
        self.first_step = state.global_step
        if self.trainer.resume:
            self.trainer.take_up_running_sums()
            self._last_evaluation = self._last_checkpoint = state.global_step
        if state.best_metric is not None:
            self.best = state.best_metric

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Progress, at most twice a second unless every step is logged; the last step is also a log point."""
        if state.global_step >= state.max_steps:
            control.should_log = True
            self.trainer.place.finished = True
        now = time.monotonic()
        due = now - self._last_progress >= PROGRESS_SECONDS or args.logging_steps == 1
        if self.events and (due or self.trainer.place.finished):
            self._last_progress = now
            self.events.write("progress", step=state.global_step, epoch=state.epoch, values=self.progress(state))

    def progress(self, state: Any) -> dict[str, float]:
        """Numbers of a progress event. Seconds count this attempt alone."""
        seconds = time.monotonic() - self.started
        rate = (state.global_step - self.first_step) / seconds if seconds > 0 else 0.0
        since = state.global_step - self.trainer._globalstep_last_logged
        values = {"total_steps": state.max_steps, "steps_per_second": rate} | self.spent()
        if since:
            values["loss"] = self.trainer._tr_loss.item() / since
        if rate:
            values["seconds_left"] = (state.max_steps - state.global_step) / rate
        return values

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A point of the training loss."""
        logs: dict[str, float] = given["logs"]
        if self.events and "loss" in logs:
            names = ("loss", "learning_rate", "grad_norm")
            values = {name: float(logs[name]) for name in names if name in logs}
            self.events.write("log", step=state.global_step, epoch=state.epoch, values=values)

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """An evaluation on the choosing suite: a checkpoint goes with it; stop when it has not risen for too long."""
        metrics: dict[str, float] = given["metrics"]
        control.should_save = True
        self._last_evaluation = state.global_step
        value = float(metrics[f"eval_{args.metric_for_best_model}"])
        prefix = f"eval_{self.suite}_"
        if self.events:
            scores = {
                name.removeprefix(prefix): float(score) for name, score in metrics.items() if name.startswith(prefix)
            }
            chosen = {"metric": str(args.metric_for_best_model).removeprefix(f"{self.suite}_")}
            self.events.write(
                "evaluation", step=state.global_step, epoch=state.epoch, values=scores, text=self.suite, details=chosen
            )
        place = self.trainer.place
        place.evaluations_without_rise = 0 if value > self.best + self.threshold else place.evaluations_without_rise + 1
        self.best = max(self.best, value)
        if self.patience and place.evaluations_without_rise >= self.patience and not place.finished:
            control.should_training_stop = place.stopped_early = place.finished = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last epoch may end before the announced steps; its last step is evaluated and kept all the same."""
        if self.trainer.place.epoch + 1 < self.trainer.epochs and not control.should_training_stop:
            return
        self.trainer.place.finished = True
        control.should_log = True
        control.should_evaluate = args.eval_strategy != "no" and self._last_evaluation != state.global_step
        control.should_save = self._last_checkpoint != state.global_step

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A checkpoint is in its place."""
        self._last_checkpoint = state.global_step
        if self.events:
            best = state.best_global_step == state.global_step
            details = {"folder": f"checkpoint-{state.global_step}", "best": best}
            self.events.write(
                "checkpoint", step=state.global_step, epoch=state.epoch, values=self.spent(), details=details
            )

    def spent(self) -> dict[str, float]:
        """What this attempt has taken since its loop began: time, memory, and energy where that can be read."""
        joules = {f"{part}_joules": value for part, value in self.energy.joules().items()}
        return spent(time.monotonic() - self.started) | joules


def spent(seconds: float) -> dict[str, float]:
    """Wall seconds, CPU seconds and peak resident bytes of this process (and its ended children)."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "train_seconds": seconds,
        "cpu_seconds": own.ru_utime + own.ru_stime,
        "peak_memory_bytes": own.ru_maxrss * 1024,
    }
