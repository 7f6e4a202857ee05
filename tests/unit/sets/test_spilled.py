"""Tables that go to the disk: the rows that were given, no memory of Arrow's, and no file that anybody could find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stsflow.tasks.sets.spilled import IN_MEMORY, rows_kept, spilled, spilled_column, spilling_below

ROWS = 5_000
BLOCKS = 40


def blocks() -> Iterator[pa.Table]:
    """Several times what stays in memory."""
    filling = "가" * (IN_MEMORY // (ROWS * 10))
    for block in range(BLOCKS):
        numbers = range(block * ROWS, (block + 1) * ROWS)
        texts = [None if number % 7 == 0 else f"{number} {filling}" for number in numbers]
        yield pa.table({"text": pa.array(texts, pa.large_string()), "list": [[f"{number}"] for number in numbers]})


def test_blocks_that_exceed_the_memory_are_one_mapped_table_with_the_same_rows(tmp_path: Path) -> None:
    expected = pa.concat_tables(blocks())
    before = pa.total_allocated_bytes()
    with spilling_below(tmp_path):
        table = spilled(blocks())
    assert pa.total_allocated_bytes() - before < IN_MEMORY < expected.nbytes
    assert table.equals(expected)
    assert not list(tmp_path.iterdir())


def test_without_a_folder_and_below_the_limit_rows_stay_in_memory(tmp_path: Path) -> None:
    before = pa.total_allocated_bytes()
    table = spilled(blocks())
    assert pa.total_allocated_bytes() - before > IN_MEMORY
    del table
    few = pa.table({"text": ["a", None]})
    with spilling_below(tmp_path / "is not there"):
        assert spilled([few, few]).to_pylist() == 2 * few.to_pylist()


def test_what_is_made_of_them_lies_on_the_disk_too(tmp_path: Path) -> None:
    expected = pa.concat_tables(blocks())
    keep = np.arange(expected.num_rows) % 3 > 0
    before = pa.total_allocated_bytes()
    with spilling_below(tmp_path):
        table = spilled(blocks())
        assert rows_kept(table, np.ones(table.num_rows, bool)) is table
        kept = rows_kept(table, keep)
        column = spilled_column(table["text"], lambda part: pc.fill_null(part, ""))
    assert pa.total_allocated_bytes() - before < 2 * IN_MEMORY
    assert kept.equals(expected.filter(pa.array(keep)))
    assert column.equals(pc.fill_null(expected["text"], ""))


def test_columns_and_tables_without_rows_keep_their_types(tmp_path: Path) -> None:
    with spilling_below(tmp_path):
        column = spilled_column(pa.chunked_array([], pa.large_string()), lambda part: part.cast(pa.string()))
        table = rows_kept(pa.table({"a": pa.array(["x"])}), np.zeros(1, bool))
    assert column.type == pa.string() and len(column) == 0
    assert table.num_rows == 0 and table.schema == pa.schema([("a", pa.string())])


def test_a_block_of_other_columns_is_no_block_of_the_table(tmp_path: Path) -> None:
    def mixed() -> Iterator[pa.Table]:
        yield from blocks()
        yield pa.table({"other": [1]})

    with spilling_below(tmp_path), pytest.raises(pa.ArrowInvalid):
        spilled(mixed())
    assert not list(tmp_path.iterdir())
