"""What files may become in memory, for every source that reads files."""

from __future__ import annotations

from pydantic import Field

from stsflow.tasks.ground.charset import MAX_LINE_CHARACTERS, MAX_UNPACKED_BYTES, Limits
from stsflow.tasks.sources.family import Source


class BoundedSource(Source):
    """A source whose files are bounded."""

    max_unpacked_bytes: int = Field(default=MAX_UNPACKED_BYTES, ge=1, le=2**45)
    """Largest size of one file once unpacked (gzip, parquet); a larger one is refused before it fills the memory."""
    max_line_characters: int = Field(default=MAX_LINE_CHARACTERS, ge=1, le=2**30)
    """tsv, csv and jsonl: most characters of one line or quoted field; a longer one is refused."""

    @property
    def limits(self) -> Limits:
        """The two together."""
        return Limits(self.max_unpacked_bytes, self.max_line_characters)
