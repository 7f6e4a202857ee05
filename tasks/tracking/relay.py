"""Carries the journal of a run to MLflow, in order, exactly once, whenever MLflow is there."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stsflow.tasks.ground.errors import RecordRefused, TrackingUnavailable
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.tracking.journal import Entry, Finish, Journal, Metrics, Tags
from stsflow.tasks.tracking.refusals import in_short, is_no_access, is_refusal
from stsflow.tasks.tracking.sending import known_points, send
from stsflow.tasks.tracking.store import Store

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0

DAMAGED = "stsflow.record_damaged"
"""Tag of a run whose record on disk is not whole."""


class Relay:
    """Sends what the journal holds and the tracker does not have yet.

    A tracker that does not answer is tried again after a growing pause; nothing is lost, because the journal stays on
    disk. After any failure, and after a new start, it is uncertain whether the last metrics arrived: then the tracker
    is asked which points it has before they are sent. An entry that the tracker refuses is set aside, so that it holds
    up nothing behind it; it is tried again when somebody waits for the record, never by another run.
    """

    def __init__(self, store: Store, run_id: str, journal: Journal, folder: Path) -> None:
        """Relay `journal` to run `run_id`; paths of artifacts are relative to `folder`."""
        self.store, self.run_id, self.journal, self.folder = store, run_id, journal, folder
        self._uncertain = True
        self._pause = 0.0
        self._next_try = 0.0
        self._lock = threading.Lock()
        self._tried_again: set[int] = set()
        self._refused_file = journal.path.with_suffix(".refused")
        self.last_error = ""
        self.no_access = False
        """The tracker answers, and refuses this user whatever is sent."""

    def flush(self) -> bool:
        """Send what can be sent now; True when nothing is left that was not tried. Never raises for the tracker."""
        with self._lock:
            if time.monotonic() < self._next_try:
                return False
            for number, entry in self.journal.after(self.journal.sent):
                if isinstance(entry, Finish) and number < len(self.journal):
                    self.journal.confirm(number)  # the run went on after this end, which MLflow never heard of
                    continue
                if not self._try(number, entry):
                    return False
                self.journal.confirm(number)
            self._pause = 0.0
            return True

    def finish(self, *, patience_seconds: float) -> bool:
        """Flush until everything is sent or the patience is over; True when the tracker has everything.

        Refusals are not waited for: what was refused before is tried once more, and counts as not sent if it is again.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            self._next_try = 0.0
            if self.flush() and self._try_refused_again():
                return not self.refused
            if self.no_access or time.monotonic() >= deadline:
                return False
            time.sleep(min(self._pause, max(0.0, deadline - time.monotonic())))  # waiting is the point of patience

    @property
    def refused(self) -> dict[int, str]:
        """Why the tracker does not take an entry, by the entry's number."""
        try:
            found = json.loads(self._refused_file.read_bytes())
            return {int(number): str(why) for number, why in found.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError):
            logger.warning("%s is damaged: what MLflow refused of this record is not known", self._refused_file)
            return {}

    def _try_refused_again(self) -> bool:
        """Try what was set aside once more, and no further time in this process; False when the tracker went away."""
        again = set(self.refused) - self._tried_again
        if not again:
            return True
        with self._lock:
            for number, entry in self.journal.after(min(again) - 1):
                if number in again:
                    if not self._try(number, entry):
                        return False
                    self._tried_again.add(number)
        return True

    def _try(self, number: int, entry: Entry | None) -> bool:
        """Send the entry, or set it aside when it is refused; False when it has to be tried later."""
        if entry is None:
            logger.warning("entry %d of %s is damaged; MLflow is told so", number, self.journal.path)
            entry = Tags(values={DAMAGED: f"entry {number} of the record on disk was damaged and is left out"})
        try:
            if isinstance(entry, Metrics) and (self._uncertain or self.journal.doubtful):
                known = known_points(self.store, self.run_id, {name for name, *_ in entry.points})
                entry = entry.model_copy(update={"points": tuple(p for p in entry.points if (p[0], p[3]) not in known)})
            send(self.store, self.run_id, entry, self.folder)
        except Exception as error:  # MLflow and its transports raise many kinds; all mean: not recorded yet
            self._uncertain = True
            self.no_access = is_no_access(error)
            if self.no_access or not is_refusal(error):
                self._failed(error)
                return False
            self._note_refusal(number, f"{entry.kind}: {in_short(error)}")
            return True
        if isinstance(entry, Metrics):
            self._uncertain = False
        self.no_access = False
        self._note_refusal(number, None)
        return True

    def _note_refusal(self, number: int, why: str | None) -> None:
        held = self.refused
        if held.get(number) == why:
            return
        if why is not None:
            logger.warning("MLflow refuses a part of the record (%s)", why)
            held[number] = why
        else:
            del held[number]
        if held:
            write_text_atomically(self._refused_file, json.dumps(held, ensure_ascii=False))
        else:
            self._refused_file.unlink(missing_ok=True)

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
        text = in_short(error)
        if text != self.last_error:
            logger.warning("MLflow does not take the record now (%s); it is kept on disk and sent later", text)
        self.last_error = text
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2 or FIRST_PAUSE_SECONDS)
        if self.no_access:
            self._pause = LONGEST_PAUSE_SECONDS
        self._next_try = time.monotonic() + self._pause


def require_sent(sent: bool, relay: Relay, run_name: str) -> None:
    """Raise, with the command that completes the record later, unless everything was sent.

    RecordRefused when MLflow answered that it does not take a part of it, or anything from this user;
    TrackingUnavailable when it did not answer.
    """
    if sent:
        return
    where, sync = f"MLflow at {relay.store.shown_uri}", f"stsflow sync {run_name}"
    if relay.no_access:
        raise RecordRefused(
            f"{where} refuses this user the record of {run_name}: {relay.last_error}; everything is on disk; "
            f"with the right user and password: {sync}"
        )
    if refused := relay.refused:
        raise RecordRefused(
            f"{where} refuses a part of the record of {run_name}: {'; '.join(dict.fromkeys(refused.values()))}; the "
            "rest is there, and everything is on disk; mend the recipe and run it again (what was made is reused), or, "
            f"where the cause lies in MLflow, mend it there and complete the record: {sync}"
        )
    raise TrackingUnavailable(
        f"{where} did not take the whole record of {run_name}: {relay.last_error}; everything is on disk; "
        f"when MLflow is back: {sync}"
    )
