"""Trying again what may pass: with growing pauses, the server's own wish first, and an end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
    wait_fixed,
)

from stsflow.tasks.ground.errors import DownloadFailed

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_WISH_SECONDS = 600.0
"""A server that asks us to come back later than this is taken to be down."""
ARTIFACT_PATIENCE_SECONDS = 120.0
ARTIFACT_PAUSE_SECONDS = 5.0

PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that say: not now."""

Result = TypeVar("Result")


class TryAgain(Exception):
    """Raised by an attempt that failed for a reason that may pass. `wish_seconds` is the server's Retry-After."""

    def __init__(self, reason: str, wish_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wish_seconds = wish_seconds


def trying_again(attempt: Callable[[], Result], *, retries: int, what: str, advice: str) -> Result:
    """What `attempt` returns, tried again up to `retries` times whenever it raises `TryAgain`.

    The pause doubles from one second to a minute, with a little randomness so that several machines do not come back
    together; a Retry-After is obeyed instead. Raises `DownloadFailed` naming `what`, the last reason and the `advice`
    when no try is left.
    """

    growing = wait_exponential_jitter(
        multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS, jitter=FIRST_PAUSE_SECONDS / 2
    )

    def pause(state: RetryCallState) -> float:
        wish = _failure(state).wish_seconds
        return growing(state) if wish is None else wish

    def say(state: RetryCallState) -> None:
        logger.warning(
            "%s: %s; trying again in %.1f s (%d of %d)",
            what, _failure(state).reason, state.upcoming_sleep, state.attempt_number, retries,
        )  # fmt: skip

    def give_up(state: RetryCallState) -> NoReturn:
        tries = "1 try" if state.attempt_number == 1 else f"{state.attempt_number} tries"
        message = f"{what}: gave up after {tries}, the last one ended with: {_failure(state).reason}. {advice}"
        raise DownloadFailed(message) from None

    return Retrying(
        retry=retry_if_exception_type(TryAgain),
        stop=lambda state: (
            (_failure(state).wish_seconds or 0.0) > LONGEST_WISH_SECONDS or stop_after_attempt(retries + 1)(state)
        ),
        wait=pause,
        before_sleep=say,
        retry_error_callback=give_up,
    )(attempt)


def wish_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by a Retry-After header (a number or a date), or None."""
    value = (headers.get("retry-after") or "").strip()
    if value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date.tzinfo else None


def when_raised(*kinds: type[BaseException]) -> Callable[[Any, Any, Any], bool]:
    """A Prefect `retry_condition_fn` that holds when the task raised one of `kinds`: what time can mend.

    A recipe that is wrong stays wrong: repeating it would only delay the sentence that says so.
    """

    def condition(_task: Any, _run: Any, state: Any) -> bool:
        try:
            state.result()
        except BaseException as error:
            return isinstance(error, kinds)
        return False

    return condition


def publish_artifact(create: Callable[..., object], **what: object) -> None:
    """Call `create`, one of Prefect's functions that make an artifact, with `what`.

    Artifacts are worth waiting a little for, and never worth a run: a server that is away is asked again for two
    minutes; then the artifact is left out, and the log says so. One that answers is not asked twice.
    """
    away = retry_if_exception_type(httpx.HTTPError) & retry_if_not_exception_type(httpx.HTTPStatusError)
    patience, pause = stop_after_delay(ARTIFACT_PATIENCE_SECONDS), wait_fixed(ARTIFACT_PAUSE_SECONDS)
    try:
        Retrying(retry=away, stop=patience, wait=pause, reraise=True)(create, **what)
    except httpx.HTTPError as error:
        logger.warning("Prefect did not take the artifact %s: %s", what.get("key"), error)


def _failure(state: RetryCallState) -> TryAgain:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, TryAgain)
    return failure
