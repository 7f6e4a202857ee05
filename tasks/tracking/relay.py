"""Carries the journal of a run to MLflow, in order, exactly once, whenever MLflow is there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import TrackingUnavailable
from tasks.tracking.journal import Finish, Journal, Metrics, Tags
from tasks.tracking.store import Store

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0

DAMAGED = "stsflow.record_damaged"
"""Tag of a run whose record on disk is not whole."""

# What MLflow answers when it is there but the request itself is wrong: trying again cannot help.
FINAL_ERRORS = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "BAD_REQUEST",
)


class Relay:
    """Sends what the journal holds and the tracker does not have yet.

    A tracker that does not answer is tried again after a growing pause; nothing is lost, because the journal stays on
    disk. After any failure, and after a new start, it is uncertain whether the last metrics arrived: then the tracker
    is asked which points it has before they are sent.
    """

    def __init__(self, store: Store, run_id: str, journal: Journal, folder: Path) -> None:
        """Relay `journal` to run `run_id`; paths of artifacts are relative to `folder`."""
        self.store, self.run_id, self.journal, self.folder = store, run_id, journal, folder
        self._uncertain = True
        self._pause = 0.0
        self._next_try = 0.0
        self._lock = threading.Lock()
        self.last_error = ""

    def flush(self) -> bool:
        """Send what can be sent now; True when the tracker has everything. Never raises for a tracker that is away."""
        with self._lock:
            if time.monotonic() < self._next_try:
                return False
            for number, entry in self.journal.after(self.journal.sent):
                if isinstance(entry, Finish) and number < len(self.journal):
                    self.journal.confirm(number)  # the run went on after this end, which MLflow never heard of
                    continue
                if entry is None:
                    logger.warning("entry %d of %s is damaged; MLflow is told so", number, self.journal.path)
                    entry = Tags(values={DAMAGED: f"entry {number} of the record on disk was damaged and is left out"})
                try:
                    if isinstance(entry, Metrics) and (self._uncertain or self.journal.doubtful):
                        known = self.store.known_points(self.run_id, {name for name, *_ in entry.points})
                        entry = entry.model_copy(
                            update={"points": tuple(p for p in entry.points if (p[0], p[3]) not in known)}
                        )
                    self.store.send(self.run_id, entry, self.folder)
                except Exception as error:  # MLflow and its transports raise many kinds; all mean: not recorded yet
                    self._uncertain = True
                    self._failed(error)
                    return False
                if isinstance(entry, Metrics):
                    self._uncertain = False
                self.journal.confirm(number)
            self._pause = 0.0
            return True

    def finish(self, *, patience_seconds: float) -> bool:
        """Flush until everything is sent or the patience is over; True when the tracker has everything."""
        deadline = time.monotonic() + patience_seconds
        while True:
            self._next_try = 0.0
            if self.flush():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(self._pause, max(0.0, deadline - time.monotonic())))  # waiting is the point of patience

    @contextmanager
    def in_background(self, *, every_seconds: float = 2.0) -> Iterator[None]:
        """Flush from a thread of its own inside the block, so that a tracker that hangs holds up nobody."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(every_seconds):
                self.flush()

        thread = threading.Thread(target=work, name="tracking-relay", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5.0)

    def _failed(self, error: Exception) -> None:
        text = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        if text != self.last_error:
            logger.warning("MLflow does not take the record now (%s); it is kept on disk and sent later", text)
        self.last_error = text
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2 or FIRST_PAUSE_SECONDS)
        if getattr(error, "error_code", "") in FINAL_ERRORS:
            self._pause = LONGEST_PAUSE_SECONDS
        self._next_try = time.monotonic() + self._pause


def require_sent(sent: bool, relay: Relay, run_name: str) -> None:
    """Raise TrackingUnavailable, with the command that completes the record later, unless everything was sent."""
    if not sent:
        raise TrackingUnavailable(
            f"MLflow at {relay.store.shown_uri} did not take the whole record of {run_name}: {relay.last_error}; "
            f"everything is on disk; when MLflow is back: stsflow sync {run_name}"
        )
