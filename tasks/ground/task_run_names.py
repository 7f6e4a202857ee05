"""Names of task runs, as lists of runs show them."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 4


def listing(names: Iterable[str]) -> str:
    """The first four of `names`, and how many more there are: a recipe with thirty suites keeps a readable name."""
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
