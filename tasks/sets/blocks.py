"""Rows on the way to a prepared set, block by block: Arrow files that appear whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa


def write_block(table: pa.Table, file: Path) -> None:
    """Write the rows to `file`, which appears whole and on the disk, or not at all."""
    making = file.with_name(f".{file.name}")
    with making.open("wb") as sink:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        sink.flush()
        os.fsync(sink.fileno())
    making.rename(file)


def read_blocks(files: Iterable[Path]) -> pa.Table:
    """The rows of all files one after the other, memory-mapped."""
    return pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files])
