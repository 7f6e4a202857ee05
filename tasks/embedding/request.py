"""What vectors are asked for, and what is said of them in the file that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.reading.delimited import Dialect, Quoting
from stsflow.tasks.records.prompts import Side

Precision = Literal["float32", "float16", "int8", "binary"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8", "binary")

BATCH_TOKENS = 4096
ROWS_OF_A_BLOCK = 4096
"""Rows that are embedded and written at a time; batches never reach over the end of a block."""
CALIBRATION_TEXTS = 4096
"""Texts, evenly spread over the rows, whose vectors give int8 its ranges."""


class Layout(Record):
    """How delimited files are written; see `FilesSource`."""

    quoting: Quoting = "auto"
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    """Of files without a header, left to right."""
    encoding: str = "utf-8"

    def dialect(self, kind: str, quoting: Quoting | None = None) -> Dialect:
        """For a file of format `kind`; `quoting` where it is known by now."""
        return Dialect(
            delimiter=self.delimiter or ("," if kind == "csv" else "\t"), quoting=quoting or self.quoting,
            prefers_quotes=kind == "csv", header=not self.columns, columns=self.columns, encoding=self.encoding,
        )  # fmt: skip


class Ranges(Record):
    """Lowest and highest number of each dimension: int8 has 256 steps from one to the other, and clips what is beyond.

    The number is `low + (value + 128) * (high - low) / 255`, to within a step.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    source: str
    """Which texts they are of, in words."""


class Wanted(Record):
    """Everything that determines the vectors, but for the code and the machine that make them."""

    model_digest: str
    max_seq_length: int
    prompt: str
    """What goes before every text."""
    input_type: Side | None
    dimensions: int
    """The first so many numbers of the model's embedding."""
    normalized: bool
    """Brought to length one (after the cut to `dimensions`); else as the model gives them."""
    precision: Precision
    ranges: Ranges | None
    """Given ranges of int8; None: those of a sample of these texts."""
    batch_tokens: int
    column: str
    keep: tuple[str, ...]
    layout: Layout
    files: tuple[str, ...]
    """SHA-256 of each input file, in order."""

    def differing(self, other: Wanted) -> list[str]:
        """Names of what is another in `other`."""
        return [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]


class InputFile(Record):
    """One file, as it was read to its end once."""

    path: Path
    shown: str
    kind: str
    quoting: Quoting
    rows: int


class Job(Record):
    """What lies in the folder of blocks: what they are of, and what makes them."""

    wanted: Wanted
    made_by: str
    """Fingerprint of code, libraries and device: blocks of two such are not mixed."""
    files: tuple[InputFile, ...]
    empty: int
    """Rows without text, whose vector is null."""

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def blocks(self) -> int:
        """Blocks of all rows."""
        return -(-self.rows // ROWS_OF_A_BLOCK)


class Description(Record):
    """What the file of vectors says of itself, as JSON under `stsflow.embedding` in its schema's metadata."""

    model: str
    """For people."""
    wanted: Wanted
    files: tuple[str, ...]
    """Names of the input files."""
    rows: int
    empty: int
    """Rows without text, whose vector is null."""
    cut: int
    """Rows whose text is longer than the model reads."""
    ranges: Ranges | None
    """Of int8."""
    device: str
    versions: dict[str, str]


def block_file(folder: Path, number: int) -> Path:
    """Where the block with this number lies."""
    return folder / f"{number:09d}.arrow"


def job_file(folder: Path) -> Path:
    """Where the record of the job lies."""
    return folder / "job.json"


def ranges_file(folder: Path) -> Path:
    """Where the ranges of a sample of the texts lie."""
    return folder / "ranges.json"
