"""What files may become in memory and which of their rows are taken, for every source that reads files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from stsflow.tasks.ground.charset import MAX_LINE_CHARACTERS, MAX_UNPACKED_BYTES, Limits
from stsflow.tasks.ground.several import Several
from stsflow.tasks.sources.family import Source
from stsflow.tasks.sources.part import Part

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading


class BoundedSource(Source):
    """A source whose files are bounded."""

    max_unpacked_bytes: int = Field(default=MAX_UNPACKED_BYTES, ge=1, le=2**45)
    """Largest size of one file once unpacked (gzip, zstd, parquet); a larger one is refused before it fills memory."""
    max_line_characters: int = Field(default=MAX_LINE_CHARACTERS, ge=1, le=2**30)
    """tsv, csv and jsonl: most characters of one line or quoted field; a longer one is refused."""

    part: Part | None = None
    """Take a part of the rows, such as `{take: test, test: 0.1, by: [question, answer]}`; default: all."""

    @property
    def limits(self) -> Limits:
        """The two together."""
        return Limits(self.max_unpacked_bytes, self.max_line_characters)

    def taken(self, columns: Sequence[str], read: Callable[[Sequence[str]], Reading]) -> Reading:
        """The named columns, which `read` reads of all rows, of those in the part."""
        if self.part is None:
            return read(columns)
        from stsflow.tasks.reading.parts import part_of

        further = [Several(name) for name in dict.fromkeys(self.part.by) if name not in columns]
        return part_of(read([*columns, *further]), self.part)
