"""Rows of one set that say again what an earlier row says, equal or nearly equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from stsflow.tasks.leakage.near_duplicates import NearDuplicateIndex
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.sets.texts import numbered_texts

THRESHOLD = 0.8
"""Jaccard similarity of character bigrams from which two texts are nearly equal, after normalisation."""


def repeats_within(rows: pa.Table, columns: Sequence[str], *, symmetric: bool) -> tuple[int, int]:
    """How many rows have the texts of an earlier one: exactly, and nearly.

    Texts that a chain of nearly equal ones joins count as one. With `symmetric`, texts in another order are one row.
    """
    numbers, distinct = numbered_texts(rows, columns)
    keys: dict[str, int] = {}
    of_text = np.array([keys.setdefault(normalised(text or ""), len(keys)) for text in distinct], np.int64)
    groups = _groups(list(keys))
    return _again(numbers, symmetric), _again(groups[of_text[numbers]], symmetric)


def _again(numbers: NDArray[np.integer], symmetric: bool) -> int:
    in_order = np.sort(numbers, axis=1) if symmetric else numbers
    return len(in_order) - len(np.unique(in_order, axis=0))


def _groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """The number of each distinct text's group of nearly equal ones."""
    there = [number for number, text in enumerate(texts) if text]
    if not there:
        return np.arange(len(texts))
    found = [texts[number] for number in there]
    here, near = NearDuplicateIndex(found, THRESHOLD).links(found)
    places = np.array(there)
    linked = sparse.coo_matrix((np.ones(len(here), np.int8), (places[here], places[near])), shape=2 * (len(texts),))
    return np.asarray(connected_components(linked, directed=False)[1], dtype=np.int64)
