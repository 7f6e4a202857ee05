"""What was fetched."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.ground.schema import Record


class FileRef(Record):
    """A file that rows were read from, and what identifies its bytes."""

    uri: str
    """As the recipe named it, or its URL; credentials removed."""
    path: Path
    """Where it lies now."""
    bytes: int
    sha256: str
    git_blob: str
    part: str = ""
    """What it holds, where a source has files of several kinds, such as `corpus`."""


class SourceRef(Record):
    """Where a data set came from."""

    kind: str
    name: str
    """Hub id, first file name, or `synthetic`."""
    uri: str
    """An address that a reader can follow, or a description."""
    revision: str
    """Commit of a hub data set; otherwise the digest of the files."""
    files: tuple[FileRef, ...] = ()
