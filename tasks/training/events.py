"""The trainer's event log: one JSON object a line, numbered, appended to, never rewritten.

The worker writes it, the watching process reads it while it grows, and whatever relays it onward keeps the number of
the last event it has sent. A step that is trained again after a resume gives the same numbers again; its events are
already in the file and are not written a second time.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from stsflow.tasks.ground.schema import Record

logger = logging.getLogger(__name__)

EventKind = Literal["phase", "log", "evaluation", "checkpoint", "progress", "finding", "failure", "done"]
ONCE_A_STEP: tuple[EventKind, ...] = ("log", "evaluation", "checkpoint")
"""Kinds that a step has once, however often it is trained. `progress` describes the moment and may go back."""


class Event(Record):
    """One line of the log."""

    seq: int
    """1, 2, 3, … without a gap, over all attempts."""
    time: float
    """Seconds since 1970 when it happened."""
    kind: EventKind
    attempt: int
    """Trainer process that wrote it, from 1."""
    step: int | None = None
    """Optimiser steps done; None for what belongs to no step."""
    epoch: float | None = None
    values: dict[str, float] = {}
    """log: loss, learning_rate, grad_norm. evaluation: the suite's metrics. progress: total_steps, loss,
    steps_per_second, seconds_left, train_seconds, cpu_seconds, processor_joules, gpu_joules."""
    text: str = ""
    """A sentence for people; for a phase, its name; for an evaluation, the suite's name."""
    details: dict[str, JsonValue] = {}


class EventLog:
    """The writing end. One process at a time writes."""

    def __init__(self, path: Path, attempt: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.attempt = attempt
        _cut_torn_line(path)
        earlier = read_events(path)
        self.seq = earlier[-1].seq if earlier else 0
        self.last_step: dict[str, int] = {}
        for event in earlier:
            if event.step is not None:
                self.last_step[event.kind] = max(event.step, self.last_step.get(event.kind, 0))
        self._stream = path.open("ab")

    def write(
        self,
        kind: EventKind,
        *,
        step: int | None = None,
        epoch: float | None = None,
        values: Mapping[str, float] | None = None,
        text: str = "",
        details: Mapping[str, JsonValue] | None = None,
    ) -> Event | None:
        """Append an event and return it; None when this step already has one of this kind (see ONCE_A_STEP).

        Values that are not finite are left out: at that step nothing defined was measured. Everything but progress is
        on the disk (fsync) when this returns.
        """
        if step is not None and kind in ONCE_A_STEP:
            if step <= self.last_step.get(kind, -1):
                return None
            self.last_step[kind] = step
        self.seq += 1
        finite = {name: float(value) for name, value in (values or {}).items() if math.isfinite(value)}
        event = Event(
            seq=self.seq, time=time.time(), kind=kind, attempt=self.attempt, step=step, epoch=epoch,
            values=finite, text=text, details=dict(details or {}),
        )  # fmt: skip
        self._stream.write(event.model_dump_json(exclude_defaults=True).encode("utf-8") + b"\n")
        self._stream.flush()
        if kind != "progress":
            os.fsync(self._stream.fileno())
        return event

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class EventReader:
    """The reading end of a log that grows: each call gives what came since the last one."""

    def __init__(self, path: Path, after_seq: int = 0) -> None:
        self.path = path
        self.after_seq = after_seq
        self._offset = 0

    def new(self) -> list[Event]:
        """Whole lines that were appended since the last call and are numbered above `after_seq`."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = [event for event in map(_parsed, whole.splitlines()) if event and event.seq > self.after_seq]
        if events:
            self.after_seq = events[-1].seq
        return events


def read_events(path: Path, after_seq: int = 0) -> list[Event]:
    """Events of the log numbered above `after_seq`; a torn last line is left out, a missing file has none."""
    return EventReader(path, after_seq).new()


def _parsed(line: bytes) -> Event | None:
    try:
        return Event.model_validate_json(line)
    except ValidationError:
        # Appends are whole lines: this one was damaged on the disk (a power cut leaves zeros).
        logger.warning(
            "an event of the trainer cannot be read and is passed over: %s", line[:40].decode("ascii", "replace")
        )
        return None


def _cut_torn_line(path: Path) -> None:
    """Cut what a killed writer left behind the last newline, so that the next line starts on its own."""
    if not path.is_file():
        return
    with path.open("r+b") as stream:
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            stream.truncate(whole)
