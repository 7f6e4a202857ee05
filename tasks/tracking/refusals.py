"""What MLflow refuses for good, told from what it only cannot take now.

An outage passes by itself and is waited for. A refusal is an answer: the same request gets it again, however long
one waits, until a person changes something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from stsflow.tasks.ground.errors import PreconditionError, RecordRefused

PASSING = frozenset({408, 425, 429, 499})
"""Statuses from 400 to 499 that say "not now": timeout, too early, too many requests, given up by the client."""
NO_ACCESS = frozenset({401, 403})
"""The user may do nothing at all: that is not about the one request."""

NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST",)
NO_SUCH_THING = (*NO_SUCH_RUN, "INVALID_PARAMETER_VALUE", "NOT_FOUND")
"""How MLflow answers for a registered model, an alias or a version that it does not have."""
Result = TypeVar("Result")


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of MLflow, or of the transport below it, stands for; None where it has none."""
    # MLflow's exceptions carry its own code also where there was no server, such as with the embedded store.
    own = getattr(error, "get_http_status_code", None)
    if own is not None:
        # A status for which MLflow has no code of its own (413, 422) stands in its sentence alone.
        said = re.search(r"^API request to endpoint \S+ failed with error code (\d{3}) != ", str(error))
        return int(said[1]) if said else int(own())
    answer = getattr(error, "response", None)
    return getattr(answer, "status_code", None)


def is_refusal(error: BaseException) -> bool:
    """Whether trying the same again cannot help."""
    if isinstance(error, RecordRefused):
        return True
    status = status_of(error)
    return status is not None and 400 <= status < 500 and status not in PASSING


def is_no_access(error: BaseException) -> bool:
    """Whether it is the user that is refused, with whatever request."""
    return status_of(error) in NO_ACCESS


def in_short(error: BaseException) -> str:
    """The first line of what the error says, for a log and a message."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)


def unless_missing(ask: Callable[[], Result], missing: Sequence[str] = NO_SUCH_THING) -> Result | None:
    """What `ask` gives; None when MLflow answers with one of the codes that say: there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code in missing:
            return None
        raise


@contextmanager
def refused_before_work(shown_uri: str, what: str) -> Iterator[None]:
    """Turn a refusal inside the block into PreconditionError: nothing was done yet that would have to be kept."""
    try:
        yield
    except Exception as error:  # MLflow and its transports raise many kinds
        if isinstance(error, PreconditionError) or not is_refusal(error):
            raise
        hint = "; are user name and password right?" if is_no_access(error) else ""
        raise PreconditionError(f"MLflow at {shown_uri} refuses {what}: {in_short(error)}{hint}") from error
