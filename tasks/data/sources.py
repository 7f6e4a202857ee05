"""Where rows come from: files (local or by URL), the Hugging Face hub, or the project's own synthetic set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.schema import Section


class FilesSource(Section):
    """Rows in tsv, csv, json, jsonl or parquet files: local paths, folders, globs, or http(s) URLs."""

    kind: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or globs, relative to `data.root`, or http(s) URLs. Read in this order; a glob in sorted order."""
    format: Literal["auto", "tsv", "csv", "json", "jsonl", "parquet"] = "auto"
    """How the bytes are read; `auto` goes by the file name's ending (`.gz` is allowed on text)."""
    quoting: Literal["none", "minimal"] = "none"
    """tsv and csv: `none` takes quotes as ordinary characters, `minimal` is the csv default with quoted fields."""
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


class HubSource(Section):
    """One split of a data set on the Hugging Face hub, at a pinned revision. Script data sets are not supported."""

    kind: Literal["hub"] = "hub"
    id: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Name on the hub, such as `kakaobrain/kor_nli`."""
    revision: str = Field(min_length=7)
    """Commit to read; a branch name is refused, because it would not name the same rows next month."""
    config: str | None = None
    """Configuration (subset) of the data set."""
    split: str = "train"
    """Split of the data set."""


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
    seed: int = 0
    """Seed of the choice of scenes."""


Source = Annotated[FilesSource | HubSource | SyntheticSource, Field(discriminator="kind")]
