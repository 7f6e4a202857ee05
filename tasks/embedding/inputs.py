"""The files that texts are read from: which they are, that every row of them can be read, and their rows in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.embedding.request import ROWS_OF_A_BLOCK, InputFile, Layout, Wanted
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.places import resolve_entry
from stsflow.tasks.reading.rows import cut
from stsflow.tasks.reading.streamed import STREAMED, TEXT, Block, quoting_of, stream, streamed_format

VECTOR = "embedding"
"""Name of the column of vectors."""


class Input(NamedTuple):
    """A file that texts are read from."""

    path: Path
    shown: str
    kind: str


def files_of(place: Path) -> list[Input]:
    """The file, or the files of a folder in sorted order; raises DataError for what cannot be read row by row."""
    found = [Input(one.path, one.shown, streamed_format(one.shown) or "") for one in resolve_entry(str(place), None)]
    for file in found:
        if not file.kind:
            raise DataError(
                f"{file.shown}: rows are read from {', '.join(STREAMED[:-1])} and {STREAMED[-1]} files, all but "
                "parquet with .gz and .zst too; a json document cannot be read row by row, write one object a line "
                "(jsonl)."
            )
    return found


def check_columns(files: Sequence[Input], column: str, keep: Sequence[str]) -> None:
    """Raise DataError for columns that no such file can give, or that could not stand beside the vectors."""
    for name in keep:
        if keep.count(name) > 1:
            raise DataError(f"--keep names the column {name!r} more than once")
    if VECTOR in keep:
        raise DataError(f"--keep {VECTOR}: the vectors are called so in the file that is written; rename that column")
    lines = next((file for file in files if file.kind == "txt"), None)
    if lines is not None and {column, *keep} != {TEXT}:
        other = next(name for name in (column, *keep) if name != TEXT)
        raise DataError(
            f"{lines.shown}: the lines of a txt file are its rows; there is no column {other!r}, only {TEXT!r}"
        )


def read_to_the_end(
    files: Sequence[Input], column: str, keep: Sequence[str], layout: Layout
) -> tuple[tuple[InputFile, ...], int]:
    """Every file with the number of its rows, each of which was read; and how many have no text.

    Raises DataError with file and line for what cannot be read, and where kept columns are of different types.
    """
    found, empty = [], 0
    first: tuple[str, pa.Schema] | None = None
    for file in files:
        wanted, dialect = tuple(dict.fromkeys((column, *keep))), layout.dialect(file.kind)
        quoting = quoting_of(file.path, file.shown, wanted, dialect) if file.kind in ("csv", "tsv") else "none"
        rows = 0
        for block in stream(file.path, file.shown, file.kind, column, keep, layout.dialect(file.kind, quoting)):
            rows += len(block.texts)
            empty += pc.sum(pc.equal(block.texts, "")).as_py() or 0
            first = first or (file.shown, block.kept.schema)
            if not block.kept.schema.equals(first[1]):
                raise DataError(_of_two_types(first, (file.shown, block.kept.schema)))
        if not rows:
            raise DataError(f"{file.shown}: the file has no rows.")
        found.append(InputFile(path=file.path, shown=file.shown, kind=file.kind, quoting=quoting, rows=rows))
    return tuple(found), empty


def blocks_of(files: Sequence[InputFile], wanted: Wanted) -> Iterator[Block]:
    """All rows in order, as many at a time as belong to a block whatever file they are from."""
    texts, kept, waiting = list[pa.ChunkedArray](), list[pa.Table](), 0
    for file in files:
        dialect = wanted.layout.dialect(file.kind, file.quoting)
        for block in stream(file.path, file.shown, file.kind, wanted.column, wanted.keep, dialect):
            texts.append(block.texts)
            kept.append(block.kept)
            waiting += len(block.texts)
            while waiting >= ROWS_OF_A_BLOCK:
                whole = _joined(texts, kept)
                yield Block(whole.texts[:ROWS_OF_A_BLOCK], whole.kept[:ROWS_OF_A_BLOCK])
                texts, kept = [whole.texts[ROWS_OF_A_BLOCK:]], [whole.kept[ROWS_OF_A_BLOCK:]]
                waiting -= ROWS_OF_A_BLOCK
    if waiting:
        yield _joined(texts, kept)


def _joined(texts: list[pa.ChunkedArray], kept: list[pa.Table]) -> Block:
    return Block(pa.chunked_array([chunk for one in texts for chunk in one.chunks]), pa.concat_tables(kept))


def _of_two_types(one: tuple[str, pa.Schema], other: tuple[str, pa.Schema]) -> str:
    for field in one[1]:
        if not other[1].field(field.name).equals(field):
            return (
                f"{other[0]}: the column {cut(field.name)} is {other[1].field(field.name).type}, and in {one[0]} it is "
                f"{field.type}; kept columns have one type in all files."
            )
    return f"{other[0]}: its kept columns are other ones than those of {one[0]}."
