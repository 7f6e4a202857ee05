"""Texts to look at: of a source, or of the training sets; a sample of them, drawn by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stsflow.tasks.ground.addresses import is_url
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.rows import MissingColumn
from stsflow.tasks.recipe.sections.drift import FEWEST_TEXTS
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.prompts import Side
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.shapes import Shape
from stsflow.tasks.sources import Access, FilesSource, Source


@dataclass(frozen=True)
class DrawnTexts:
    """A sample of texts."""

    source: str
    """Where they come from, for people."""
    texts: int
    """How many there are."""
    drawn: tuple[str, ...]


def texts_of_source(source: Source, column: str, access: Access, count: int, seed: int) -> DrawnTexts:
    """At most `count` texts of a column; empty ones are left out. Raises DataError for what cannot be read, and for
    fewer texts than a test can be made of."""
    fetched = source.fetch(access)
    try:
        found = source.read(fetched, (column,)).texts(column)
    except MissingColumn as missing:
        raise missing.with_remedy("`--column`, or `drift.column` in the recipe, names the one to read") from None
    texts = [text for text in found.to_pylist() if text]
    if len(texts) < FEWEST_TEXTS:
        raise DataError(
            f"{fetched.uri}: {len(texts)} texts in the column {column!r}; at least {FEWEST_TEXTS} are needed"
        )
    chosen = _chosen(len(texts), count, seed)
    return DrawnTexts(fetched.uri, len(texts), tuple(texts[number] for number in chosen))


def texts_of_training(data: PreparedData, side: Side | None, count: int, seed: int) -> DrawnTexts:
    """At most `count` of all texts in the training sets that are on the `side`, each text of a row counted."""
    places = [(item, column) for item in data.train for column in _columns(item, side)]
    ends = np.cumsum([item.rows for item, _ in places])
    total = int(ends[-1]) if len(ends) else 0
    numbers = _chosen(total, count, seed)
    drawn: list[str] = []
    for place, (item, column) in enumerate(places):
        first = int(ends[place - 1]) if place else 0
        rows = [number - first for number in numbers if first <= number < ends[place]]
        drawn += [text for text in read_rows(item).column(column).take(rows).to_pylist() if text]
    if len(drawn) < FEWEST_TEXTS:
        which = f" on the side {side!r}" if side else ""
        raise DataError(f"the training sets have {len(drawn)} texts{which}; at least {FEWEST_TEXTS} are needed")
    names = ", ".join(item.name for item in data.train)
    return DrawnTexts(f"training ({names})", total, tuple(drawn))


def source_of(places: Sequence[str], column: str) -> FilesSource:
    """The source of files, folders and addresses that were named; files that end with `.txt` hold a text a line.

    Relative paths start from the current folder.
    """
    plain = all(place.removesuffix(".gz").removesuffix(".zst").endswith(".txt") for place in places)
    lines = {"format": "tsv", "header": False, "columns": (column,), "quoting": "none"} if plain else {}
    paths = tuple(place if is_url(place) else str(Path(place).absolute()) for place in places)
    return FilesSource.model_validate({"paths": paths, **lines})


def _columns(item: PreparedSet, side: Side | None) -> tuple[str, ...]:
    texts = item.roles.texts
    if side is None or Shape.of(item.shape).symmetric:
        return texts
    return texts[:1] if side == "query" else texts[1:]


def _chosen(total: int, count: int, seed: int) -> list[int]:
    """Numbers below `total`, in order; the same for the same three."""
    if total <= count:
        return list(range(total))
    return sorted(np.random.default_rng(seed).choice(total, count, replace=False).tolist())
