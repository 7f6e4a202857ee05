"""What the process that waits for a trainer does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stsflow.tasks.training.events import Event, EventReader


@dataclass
class Watch:
    """What the watching process does between two looks at the trainer."""

    reader: EventReader
    on_event: Callable[[list[Event]], None]
    should_stop: Callable[[], str | None]
    hang_timeout: float = float("inf")
    timeout: float | None = None
    hung: bool = False
    _started: float = field(default_factory=time.monotonic)
    _heard: float = field(default_factory=time.monotonic)

    def begin(self, hang_timeout: float, timeout: float | None) -> None:
        """An attempt starts now."""
        self.hang_timeout, self.timeout, self.hung = hang_timeout, timeout, False
        self._started = self._heard = time.monotonic()

    def wait(self) -> str | None:
        """The attempt waits for a place: its time does not count yet. A sentence when it has to be given up."""
        self._started = self._heard = time.monotonic()
        return self.should_stop()

    def relay(self) -> bool:
        """Pass on new events; whether there were any."""
        events = self.reader.new()
        if events:
            self.on_event(events)
        return bool(events)

    def tick(self) -> str | None:
        """Pass on new events; a sentence when the trainer has to be stopped."""
        if self.relay():
            self._heard = time.monotonic()
        if reason := self.should_stop():
            return reason
        silent = time.monotonic() - self._heard
        if silent > self.hang_timeout:
            self.hung = True
            return f"no event for {silent:.0f} seconds (training.hang_timeout_seconds: {self.hang_timeout:g})"
        if self.timeout is not None and time.monotonic() - self._started > self.timeout:
            return f"training.timeout_seconds ({self.timeout:g}) is over"
        return None
