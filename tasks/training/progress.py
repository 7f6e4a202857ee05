"""The trainer's events as lines for the person who watches."""

from __future__ import annotations

import logging
import sys
import time

from stsflow.tasks.training.events import Event

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0
PHASES = {
    "load": "the trainer loads the base model and the data",
    "train": "training begins",
    "save": "training is done; the model is saved",
}
"""What a phase of the trainer's log means to a person."""


class ProgressLine:
    """On a terminal one line that is rewritten in place; elsewhere (Prefect's log, a file) a line now and then."""

    def __init__(self) -> None:
        self.in_place = sys.stderr.isatty()
        self.last_line = 0.0
        self.width = 0

    def show(self, event: Event) -> None:
        """Show one event; what a person would not read is left out."""
        if event.kind == "progress":
            self._progress(event)
        elif event.kind == "evaluation":
            text = ", ".join(f"{name} {value:.4f}" for name, value in event.values.items() if "spearman_cosine" in name)
            self._line(f"step {event.step}: {event.text or 'dev'} {text}".rstrip())
        elif event.kind == "phase":
            self._line(phase_text(event))
        elif event.kind in ("finding", "failure") and event.text:
            self._line(event.text)

    def close(self) -> None:
        """End the line in place."""
        if self.in_place and self.width:
            sys.stderr.write("\r" + " " * self.width + "\r")
            sys.stderr.flush()
            self.width = 0

    def _progress(self, event: Event) -> None:
        text = progress_text(event)
        if self.in_place:
            sys.stderr.write("\r" + text.ljust(self.width))
            sys.stderr.flush()
            self.width = len(text)
        elif time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            logger.info("%s", text)

    def _line(self, text: str) -> None:
        self.close()
        logger.info("%s", text)


def phase_text(event: Event) -> str:
    """What the trainer begins to do, as a sentence."""
    if event.text == "train" and (step := event.details.get("resumed_from")):
        return f"training goes on from the checkpoint of step {step:,}"
    return PHASES.get(event.text, event.text)


def progress_text(event: Event) -> str:
    """`step 120/700  loss 0.3812  3.1 steps/s  3m07s left`; what the event does not know is left out."""
    total = int(event.values.get("total_steps", 0))
    parts = [f"step {event.step}/{total}" if total else f"step {event.step}"]
    if "loss" in event.values:
        parts.append(f"loss {event.values['loss']:.4f}")
    if "steps_per_second" in event.values:
        parts.append(f"{event.values['steps_per_second']:.2f} steps/s")
    if "seconds_left" in event.values:
        parts.append(f"{duration(event.values['seconds_left'])} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """`45s`, `3m07s`, `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
