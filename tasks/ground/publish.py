"""Prefect artifacts are worth waiting a little for, and never worth a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import httpx

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 5.0


def publish(create: Callable[..., object], **what: object) -> None:
    """Call `create`, one of Prefect's functions that make an artifact, with `what`.

    A server that is away is asked again for two minutes; then the artifact is left out, and the log says so.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            create(**what)
            return
        except httpx.HTTPError as error:
            away = not isinstance(error, httpx.HTTPStatusError)
            if not away or time.monotonic() >= deadline:
                logger.warning("Prefect did not take the artifact %s: %s", what.get("key"), error)
                return
            time.sleep(PAUSE_SECONDS)  # a server that is away cannot say when it is back
