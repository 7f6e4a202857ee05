"""Trying again after a failure that may pass: growing pauses, the server's own wish first, and an end."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from stsflow.tasks.ground.errors import DownloadFailed

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_WISH_SECONDS = 600.0
"""A server that asks us to come back later than this is taken to be down."""

PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that say: not now."""

Result = TypeVar("Result")


class TryAgain(Exception):
    """Raised by an attempt that failed for a reason that may pass. `wish_seconds` is the server's Retry-After."""

    def __init__(self, reason: str, wish_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wish_seconds = wish_seconds


def with_backoff(attempt: Callable[[], Result], *, retries: int, what: str, advice: str) -> Result:
    """What `attempt` returns, tried again up to `retries` times whenever it raises `TryAgain`.

    The pause doubles from one second to a minute, with a little randomness so that several machines do not come back
    together; a Retry-After is obeyed instead. Raises `DownloadFailed` naming `what`, the last reason and the `advice`
    when no try is left.
    """
    for number in range(retries + 1):
        try:
            return attempt()
        except TryAgain as failure:
            too_late = (failure.wish_seconds or 0.0) > LONGEST_WISH_SECONDS
            if number == retries or too_late:
                tries = "1 try" if number == 0 else f"{number + 1} tries"
                message = f"{what}: gave up after {tries}, the last one ended with: {failure.reason}. {advice}"
                raise DownloadFailed(message) from None
            pause = failure.wish_seconds if failure.wish_seconds is not None else _pause(number)
            log.warning("%s: %s; trying again in %.1f s (%d of %d)", what, failure.reason, pause, number + 1, retries)
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _pause(number: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**number) * random.uniform(0.75, 1.25)
