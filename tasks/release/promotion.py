"""Moves the aliases `candidate`, `champion` and `previous` of a registered model, and leaves a trail.

Each step is safe to repeat. `previous` is set before `champion` moves: a kill in between leaves the old champion in
place, and a repeated promotion finds the same state and ends the same way.
"""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from typing import Any, Protocol

from tasks.errors import PreconditionError

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


class Registry(Protocol):
    """What promotion needs of a model registry."""

    def alias(self, name: str, alias: str) -> Any | None:
        """The version behind an alias, or None."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""

    def note(self, name: str, key: str, value: str) -> None:
        """Keep a note on the registered model."""


def nominate(registry: Registry, name: str, version: str) -> None:
    """Make `version` the candidate."""
    registry.set_alias(name, CANDIDATE, version)


def crown(registry: Registry, name: str, version: str, why: str) -> str | None:
    """Make `version` champion, the old one previous; return the old one's number. A champion stays what it is."""
    champion = registry.alias(name, CHAMPION)
    old = str(champion.version) if champion is not None else None
    if old == version:
        return old
    if old is not None:
        registry.set_alias(name, PREVIOUS, old)
    registry.set_alias(name, CHAMPION, version)
    _leave_trail(registry, name, "promoted", old, version, why)
    return old


def go_back(registry: Registry, name: str, why: str) -> tuple[str, str]:
    """Make `previous` champion again and drop the alias; return (old, new) version numbers.

    Raises PreconditionError when there is no previous champion. Repeating it is refused rather than swapping the two
    back and forth.
    """
    champion, previous = registry.alias(name, CHAMPION), registry.alias(name, PREVIOUS)
    if previous is None:
        now = f"version {champion.version} is champion" if champion else "there is no champion"
        raise PreconditionError(f"the registered model {name!r} has no previous champion to go back to; {now}")
    old, new = str(champion.version) if champion else "", str(previous.version)
    registry.set_alias(name, CHAMPION, new)
    registry.delete_alias(name, PREVIOUS)
    _leave_trail(registry, name, "rolled back", old, new, why)
    return old, new


def _leave_trail(registry: Registry, name: str, what: str, old: str | None, new: str, why: str) -> None:
    now = datetime.now(UTC)
    entry = {"what": what, "from": old, "to": new, "who": _who(), "when": now.isoformat(timespec="seconds"), "why": why}
    registry.note(name, f"stsflow.trail.{now:%Y%m%dT%H%M%S%f}", json.dumps(entry, ensure_ascii=False)[:4900])


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
