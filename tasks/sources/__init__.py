"""Where rows come from: files (local or by URL), the Hugging Face hub, or the project's own synthetic set.

Each kind does three things: `fetch` brings the bytes onto this machine and says what they are, `read` makes columns of
them, and `state` tells cheaply what a fetch would give now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stsflow.tasks.data.charset import MAX_LINE_CHARACTERS, MAX_UNPACKED_BYTES, Limits, check_encoding
from stsflow.tasks.ground.addresses import check_address
from stsflow.tasks.ground.names import HubId, HubWord
from stsflow.tasks.ground.schema import LARGEST_SEED, Section

if TYPE_CHECKING:
    from stsflow.tasks.data.reading import Reading
    from stsflow.tasks.records.data import SourceRef


@dataclass(frozen=True)
class Access:
    """How sources reach their bytes."""

    root: Path | None
    """`data.root`: the folder that paths start from and stay inside."""
    downloads: Path
    """Folder for files fetched by URL."""
    timeout_seconds: float = 60.0
    """Longest silence of a server."""
    retries: int = 5
    """Tries after the first one."""


class Bounded(Section):
    """What a source's files may become in memory."""

    max_unpacked_bytes: int = Field(default=MAX_UNPACKED_BYTES, ge=1, le=2**45)
    """Largest size of one file once unpacked (gzip, parquet); a larger one is refused before it fills the memory."""
    max_line_characters: int = Field(default=MAX_LINE_CHARACTERS, ge=1, le=2**30)
    """tsv, csv and jsonl: most characters of one line or quoted field; a longer one is refused."""

    @property
    def limits(self) -> Limits:
        """The two together."""
        return Limits(self.max_unpacked_bytes, self.max_line_characters)


class FilesSource(Bounded):
    """Rows in tsv, csv, json, jsonl or parquet files: local paths, folders, globs, or http(s) URLs."""

    kind: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or globs, relative to `data.root`, or http(s) URLs. Read in this order; a glob in sorted order.
    A URL may name variables of the environment, `https://host/sts.csv?${STS_QUERY}`, and holds no secret itself."""
    format: Literal["auto", "tsv", "csv", "json", "jsonl", "parquet"] = "auto"
    """How the bytes are read; `auto` goes by the file name's ending (`.gz` is allowed on text)."""
    quoting: Literal["auto", "none", "minimal"] = "auto"
    """tsv and csv: `minimal` reads quoted fields (RFC 4180), `none` takes quotes as ordinary characters; `auto` reads
    csv the first way and tsv the second, or the other way where that one alone gives whole rows, and says so."""
    delimiter: str | None = None
    """tsv and csv: the character between fields, such as `;`; default: a comma in csv, a tab in tsv."""
    decimal: Literal[".", ","] = "."
    """tsv and csv: the decimal mark of numbers."""
    header: bool = True
    """tsv and csv: the first line names the columns. Without it, `columns` must name them."""
    columns: tuple[str, ...] = ()
    """tsv and csv without a header: the names of the columns, left to right."""
    encoding: str = "utf-8"
    """Text encoding; a byte order mark is accepted."""
    records_at: str | None = None
    """json: the dotted path of the list of rows inside the document, such as `data.items`; default: the document."""
    sha256: dict[str, str] = {}
    """Expected SHA-256, by entry of `paths` (or by file name)."""
    git_blob: dict[str, str] = {}
    """Expected git blob id, by entry of `paths` (or by file name)."""

    @field_validator("paths", "sha256", "git_blob")
    @classmethod
    def _addresses_hold_no_secret(cls, value: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        for entry in value:
            check_address(entry)
        return value

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value in '"\r\n' or (ord(value) < 32 and value != "\t")):
            raise ValueError("a delimiter is one character, such as `;` or `|`, and no quote and no line end")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding_of_files(cls, value: str) -> str:
        check_encoding(value)
        return value

    @model_validator(mode="after")
    def _columns_fit_the_header(self) -> Self:
        if not self.header and not self.columns:
            raise ValueError("without a header (`header: false`), `columns` must name the columns, left to right")
        if self.header and self.columns:
            raise ValueError("`columns` names the columns of files without a header; set `header: false` with it")
        for name in self.columns:
            if self.columns.count(name) > 1:
                raise ValueError(f"`columns` names {name!r} more than once")
        return self

    def fetch(self, access: Access) -> SourceRef:
        """The files on this machine, each verified; raises `DataError` (missing, outside of the root, wrong hash)."""
        from stsflow.tasks.sources.files import fetch_files

        return fetch_files(self, access)

    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The named columns of all files in order; raises `DataError` with file and line."""
        from stsflow.tasks.sources.files import read_files

        return read_files(self, fetched, columns)

    def state(self, access: Access) -> str:
        """Expected hashes where the recipe pins them, else hashes of local files and ETags of remote ones."""
        from stsflow.tasks.sources.files import files_state

        return files_state(self, access)


class HubSource(Bounded):
    """One split of a data set on the Hugging Face hub, at a pinned revision. Script data sets are not supported."""

    kind: Literal["hub"] = "hub"
    id: HubId
    """Name on the hub, such as `kakaobrain/kor_nli`."""
    revision: str = Field(min_length=7)
    """Commit to read; a branch name is refused, because it would not name the same rows next month."""
    config: HubWord | None = None
    """Configuration (subset) of the data set."""
    split: HubWord = "train"
    """Split of the data set."""
    quoting: Literal["auto", "none", "minimal"] = "auto"
    """For a data set of csv or tsv files, as for `files`."""

    @field_validator("revision")
    @classmethod
    def _is_a_commit(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{40}", value):
            raise ValueError(
                "a data set is pinned to a full commit hash (40 hexadecimal digits), because a branch would not name "
                "the same rows next month; the data set's page lists its commits under Files, History"
            )
        return value

    def fetch(self, access: Access) -> SourceRef:
        """The split's files in the hub's cache; raises as `ground.hub.fetch_snapshot`, and `DataError` for scripts."""
        from stsflow.tasks.sources.hub import fetch_split

        return fetch_split(self, access)

    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The named columns of the split; raises `DataError` with file and row."""
        from stsflow.tasks.sources.hub import read_split

        return read_split(self, fetched, columns)

    def state(self, access: Access) -> str:
        """The pinned commit: it cannot change."""
        del access
        return f"{self.id} at {self.revision}"


class SyntheticSource(Section):
    """The project's own bilingual set, generated from a grammar of scenes; deterministic; for demos and tests only."""

    kind: Literal["synthetic"] = "synthetic"
    task: Literal["nli", "sts"]
    """`nli`: premise, hypothesis, label. `sts`: sentence1, sentence2, score (0 to 5)."""
    split: Literal["train", "dev", "test"]
    """Scenes and content words of test and dev do not occur in train."""
    rows: int = Field(default=1000, ge=1, le=100_000)
    """Rows to generate."""
    languages: tuple[Literal["ko", "en"], ...] = ("ko", "en")
    """Languages to write the scenes in."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of the choice of scenes."""

    def fetch(self, access: Access) -> SourceRef:
        """Nothing is fetched: the generator and its arguments are the source."""
        from stsflow.tasks.sources.synthetic import describe

        del access
        return describe(self)

    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The named columns of the generated rows."""
        from stsflow.tasks.sources.synthetic import read_rows

        del fetched
        return read_rows(self, columns)

    def state(self, access: Access) -> str:
        """The version of the generator and its arguments."""
        return self.fetch(access).revision


Source = Annotated[FilesSource | HubSource | SyntheticSource, Field(discriminator="kind")]
