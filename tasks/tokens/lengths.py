"""Exact lengths in tokens of every text of a set: counted once, for statistics, batches and forecast alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.tokens.counting import Counts, TokenCounter, counter_of

ROWS_AT_A_TIME = 20_000
REMEMBERED_TEXTS = 1_000_000
"""Texts whose counts are kept; beyond that the memory starts anew, which costs time and changes no number."""


class Counted(NamedTuple):
    """The texts of one set, counted: special tokens and prompts included, before any cut."""

    lengths: NDArray[np.int32]
    """(rows, text columns)."""
    unknown: NDArray[np.int64]
    """Unknown tokens of each text column."""


class Remembered:
    """A counter that counts a text once, as long as it remembers it."""

    def __init__(self, counter: TokenCounter) -> None:
        self.counter = counter
        self._known: dict[str, tuple[int, int]] = {}

    def count(self, texts: list[str]) -> Counts:
        """Tokens and unknown tokens of distinct `texts`."""
        if len(self._known) > REMEMBERED_TEXTS:
            self._known.clear()
        new = [text for text in texts if text not in self._known]
        lengths, unknown = self.counter.count(new)
        self._known.update(zip(new, zip(lengths.tolist(), unknown.tolist(), strict=True), strict=True))
        counted = np.array([self._known[text] for text in texts], dtype=np.int64).reshape(-1, 2)
        return counted[:, 0], counted[:, 1]


def count_texts(data: PreparedSet, counter: Remembered, prompts: Mapping[str, str]) -> Counted:
    """Every text of the set with the prompt of its column, where `prompts` has one, before it."""
    rows = read_rows(data)
    columns = data.roles.texts
    found = Counted(np.zeros((rows.num_rows, len(columns)), np.int32), np.zeros(len(columns), np.int64))
    for start in range(0, rows.num_rows, ROWS_AT_A_TIME):
        batch = rows.slice(start, ROWS_AT_A_TIME)
        for number, name in enumerate(columns):
            encoded = batch[name].cast(pa.large_string()).combine_chunks().dictionary_encode()
            lengths, unknown = counter.count([prompts.get(name, "") + text for text in encoded.dictionary.to_pylist()])
            where = encoded.indices.to_numpy()
            found.lengths[start : start + len(where), number] = lengths[where]
            found.unknown[number] += unknown[where].sum()
    return found


def stored_lengths(report: TokenReport, workspace: Workspace) -> dict[str, Path]:
    """The files beside the report that hold the lengths of the training sets, by name."""
    folder = workspace.made("tokens", report.fingerprint)
    return {item.name: lengths_file(folder, item.name) for item in report.sets if item.role == "train"}


def lengths_file(folder: Path, name: str) -> Path:
    """Where the lengths of training set `name` lie below the folder of a token report."""
    return folder / "lengths" / f"{name}.npy"


def lengths_as_read(
    data: PreparedSet, base: BaseModelRef, prompts: Mapping[str, str], stored: Path | None = None
) -> NDArray[np.int32]:
    """(rows, text columns) tokens that the model reads of a training set: cut at its limit.

    From the file `stored` beside a token report; counted here where nobody has measured.
    """
    lengths: NDArray[np.int32]
    if stored is not None:
        lengths = np.load(stored, mmap_mode="r")
    else:
        lengths = count_texts(data, Remembered(counter_of(base.path)), prompts).lengths
    return np.minimum(lengths, base.max_seq_length, dtype=np.int32)
