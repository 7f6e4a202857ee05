"""The rows of prepared sets on disk: the one place that writes and reads their Arrow folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.sets.content_digest import content_digest

if TYPE_CHECKING:
    from datasets import Dataset

LARGE = 1 << 28
"""Bytes from which rows are written chunk by chunk, as they lie on the disk, and not brought together in memory."""


def write_rows(table: pa.Table, folder: Path) -> str:
    """Write the rows as an Arrow folder that `datasets.load_from_disk` reads; return the digest of their content."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    digest = content_digest(table)
    # Without a name of its own it would be named by a hash of all that is in it, serialised in memory.
    rows = table if table.nbytes > LARGE else table.combine_chunks()
    Dataset(rows, fingerprint=digest[:16]).save_to_disk(str(folder))
    return digest


def read_rows(prepared: PreparedSet) -> pa.Table:
    """All columns of the set, memory-mapped, in order; without `datasets`, which takes a second to load."""
    state = json.loads((prepared.path / "state.json").read_text(encoding="utf-8"))
    files = [prepared.path / entry["filename"] for entry in state["_data_files"]]
    return pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files])


def training_rows(prepared: PreparedSet) -> Dataset:
    """The rows as the trainer takes them: the columns that the set's shape has a role for, and no others."""
    from datasets import Dataset, load_from_disk

    loaded = load_from_disk(str(prepared.path))
    assert isinstance(loaded, Dataset)
    return loaded.select_columns(list(prepared.roles.columns))


def digest_of(prepared: PreparedSet) -> str:
    """The content digest of the set as it now lies on disk."""
    return content_digest(read_rows(prepared))
