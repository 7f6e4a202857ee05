"""What the hub's client says when a push does not go through, in sentences for the person who asked for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError, StsflowError, causes
from stsflow.tasks.ground.hub import endpoint
from stsflow.tasks.ground.trying_again import PASSING_STATUSES, TryAgain, trying_again, wish_of

RETRIES = 5
ADVICE = "What was uploaded is kept on the hub; the same command goes on from there."
NO_TOKEN = "set HF_TOKEN to a token that may write there (https://huggingface.co/settings/tokens)"
CHANGED_MEANWHILE = (409, 412)
"""Statuses by which the hub says that somebody else was faster."""

Result = TypeVar("Result")


def asked(what: str, attempt: Callable[[], Result], *, retries: int = RETRIES) -> Result:
    """What `attempt` returns; tried again while the network or the hub is away, or somebody else commits meanwhile.

    `what` says what is done, such as `pushing to owner/name`. Raises PreconditionError for what trying again does not
    mend, DownloadFailed when no try is left. No message holds the token.
    """

    def in_our_words() -> Result:
        try:
            return attempt()
        except Exception as error:  # the client raises from several families, its own and its HTTP library's
            raise translated(error, what) from None

    return trying_again(in_our_words, retries=retries, what=what, advice=ADVICE)


def translated(error: Exception, what: str) -> Exception:
    """The error of ours that says what the client's `error` means, or `TryAgain`, or `error` itself when unknown."""
    import httpx2
    from huggingface_hub import errors

    for cause in causes(error):
        if isinstance(cause, StsflowError | TryAgain):
            return cause
        if isinstance(cause, errors.LocalTokenNotFoundError):
            return PreconditionError(f"{what}: there is no token for the hub; {NO_TOKEN}")
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return PreconditionError(f"{what}: HF_HUB_OFFLINE is set; unset it, or push on a machine that is online")
        if isinstance(cause, errors.HfHubHTTPError):
            return _by_status(cause, what)
        if isinstance(cause, httpx2.TransportError):
            return TryAgain(f"{type(cause).__name__} from {without_credentials(endpoint())}")
        if isinstance(cause, ValueError) and "metadata in README.md" in str(cause):
            return PreconditionError(f"{what}: the hub refuses the card: {in_short(str(cause))}")
    if isinstance(error, OSError | RuntimeError):  # the upload client of the hub's storage has no errors of its own
        return TryAgain(f"{type(error).__name__}: {in_short(str(error))}")
    return error


def in_short(text: str) -> str:
    """The text on one line, cut, without the token."""
    from huggingface_hub import get_token

    for secret in (get_token(), os.environ.get("HF_TOKEN", "").strip()):
        text = text.replace(secret, "***") if secret else text
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."


def _by_status(error: Exception, what: str) -> Exception:
    from huggingface_hub import errors

    assert isinstance(error, errors.HfHubHTTPError)
    status, said = error.response.status_code, in_short(error.server_message or "")
    reason = f" ({said})" if said else ""
    if status in PASSING_STATUSES:
        return TryAgain(f"HTTP {status} from the hub", wish_of(error.response.headers))
    if status in CHANGED_MEANWHILE:
        return TryAgain(f"somebody else was changing it{reason}")
    if status == 401:
        return PreconditionError(f"{what}: the hub does not accept the token; {NO_TOKEN}")
    if status == 403:
        return PreconditionError(f"{what}: the token may not do that{reason}; {NO_TOKEN}")
    if status == 404:
        return PreconditionError(f"{what}: it is not there, or the token may not see it{reason}; {NO_TOKEN}")
    return PreconditionError(f"{what}: the hub answers HTTP {status}{reason}")
