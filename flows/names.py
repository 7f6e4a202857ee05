"""Names that people give to pools and deployments: they become file names, section names, addresses and arguments."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints

from tasks.errors import PreconditionError

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=PATTERN)]


def require_name(text: str, what: str) -> str:
    """`text` itself; raises PreconditionError, which begins with `what`, where it is no name."""
    if not re.fullmatch(PATTERN.removesuffix("$"), text):
        raise PreconditionError(
            f"{what} {text[:80]!r} is no name: 1 to 64 letters, digits, `.`, `_` and `-` are allowed, the first one "
            "a letter or digit."
        )
    return text
