"""Tables larger than memory: their blocks go to a file without a name, which is mapped and goes with its last reader.

Where rows are read, shaped and filtered, each step makes a table anew. `spilled` makes it of blocks, and inside of
`spilling_below` what exceeds `IN_MEMORY` lies on the disk: the process keeps addresses, the pages are the kernel's to
drop. Nobody has to delete anything, and a process that is killed leaves nothing behind.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

IN_MEMORY = 1 << 22
"""Bytes up to which a table stays in memory."""
ROWS_OF_A_BLOCK = 65_536

_folder: ContextVar[Path | None] = ContextVar("the folder on whose disk tables are spilled", default=None)


@contextmanager
def spilling_below(folder: Path) -> Iterator[None]:
    """Inside of it large tables go to the disk of `folder`; outside of it they stay in memory."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def spilled(blocks: Iterable[pa.Table]) -> pa.Table:
    """The rows of all blocks, of which there is at least one, one after the other; of one schema."""
    folder, coming = _folder.get(), iter(blocks)
    held, size = [next(coming)], 0
    for block in coming:
        size += held[-1].nbytes
        held.append(block)
        if folder is not None and size > IN_MEMORY:
            return _on_disk(folder, held, coming)
    return pa.concat_tables(held)


def spilled_column(column: pa.ChunkedArray, change: Callable[[pa.Array], pa.Array]) -> pa.ChunkedArray:
    """What `change` makes of the column's values, some of them at a time."""
    parts = (
        chunk.slice(start, ROWS_OF_A_BLOCK)
        for chunk in column.chunks or [pa.array([], column.type)]
        for start in range(0, max(1, len(chunk)), ROWS_OF_A_BLOCK)
    )
    return spilled(pa.table({"": change(part)}) for part in parts).column(0)


def rows_kept(table: pa.Table, keep: NDArray[np.bool_]) -> pa.Table:
    """The rows of the table for which `keep` is true; the table itself where it is for all."""
    if keep.all():
        return table
    starts = range(0, table.num_rows, ROWS_OF_A_BLOCK)
    return spilled(
        table.slice(start, ROWS_OF_A_BLOCK).filter(pa.array(keep[start : start + ROWS_OF_A_BLOCK])) for start in starts
    )


def _on_disk(folder: Path, held: list[pa.Table], coming: Iterator[pa.Table]) -> pa.Table:
    """The blocks that are `held`, which are let go, and those that are coming, in a mapped file."""
    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_stream(file, held[0].schema) as writer:
            while held:
                writer.write_table(held.pop(0))
            for block in coming:
                writer.write_table(block)
        file.flush()
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.BufferReader(pa.py_buffer(pages))).read_all()
