"""facts.json: where every number of a card comes from, and what it takes to measure the model again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from tasks.card.content import Evidence
from tasks.card.facts import Fact
from tasks.schema import Record
from tasks.workspace import Workspace

_WORKSPACE = "workspace:"


class PlacedFact(Record):
    """A fact and where the card shows it."""

    fact: Fact
    places: tuple[tuple[int, int, str], ...]
    """Line from 1, column from 0, text there. Empty for a fact that only a figure or the YAML header uses."""


class CardFacts(Record):
    """The file facts.json."""

    format: Literal[1] = 1
    card_sha256: str
    """Of README.md."""
    lines: tuple[str, ...]
    """Short digest of each line of README.md, so that a changed one can be named."""
    figures: dict[str, str]
    """SHA-256 by file name."""
    facts: tuple[PlacedFact, ...]
    evidence: dict[str, JsonValue]
    """An Evidence record; paths inside the workspace start with `workspace:`."""

    def fact(self, identity: str) -> Fact | None:
        """The fact with this id, or None."""
        return next((item.fact for item in self.facts if item.fact.id == identity), None)


def line_digest(line: str) -> str:
    """First twelve digits of the line's SHA-256: enough to tell the lines of one card apart."""
    return hashlib.sha256(line.encode("utf-8")).hexdigest()[:12]


def portable(evidence: Evidence) -> dict[str, JsonValue]:
    """The record as JSON, with `workspace:` in place of the workspace's own folder (two above the run's folder)."""
    root = str(evidence.run.folder.parent.parent)
    replaced = _replace(evidence.model_dump(mode="json"), f"{root}/", f"{_WORKSPACE}/")
    if not isinstance(replaced, dict):
        raise TypeError("An Evidence record is a JSON object.")
    return replaced


def located(evidence: dict[str, JsonValue], workspace: Workspace) -> Evidence:
    """The record that `portable` wrote, with the paths of this workspace."""
    return Evidence.model_validate(_replace(evidence, f"{_WORKSPACE}/", f"{Path(workspace.root)}/"))


def _replace(value: JsonValue, prefix: str, by: str) -> JsonValue:
    if isinstance(value, dict):
        return {key: _replace(item, prefix, by) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, prefix, by) for item in value]
    if isinstance(value, str) and value.startswith(prefix):
        return by + value.removeprefix(prefix)
    return value
