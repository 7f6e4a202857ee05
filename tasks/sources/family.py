"""The family of sources: where rows come from, and what people and recipes are told of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import JsonValue

from stsflow.tasks.ground.family import Kind

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.records.sources import SourceRef


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


class Source(Kind):
    """Where rows come from. A record of a fetch names its kind: `Source.of(record.kind)` knows what it says of it."""

    locks: ClassVar[frozenset[str]] = frozenset()
    """Fields that say what the bytes must be: a locked recipe has them, and other rows are refused."""
    places: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where the bytes lie, and nothing of how they are read."""

    @abstractmethod
    def fetch(self, access: Access) -> SourceRef:
        """Bring the bytes onto this machine and say what they are; raises DataError, or DownloadFailed."""

    @abstractmethod
    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The named columns of what was fetched; raises DataError with file and line."""

    @abstractmethod
    def state(self, access: Access) -> str:
        """What a fetch would give now, as text that changes when the rows may have; little or nothing is fetched."""

    @property
    def remote(self) -> str:
        """What is asked for outside of this machine, as the subject of a sentence; empty where nothing is."""
        return ""

    @property
    def below_root(self) -> tuple[str, ...]:
        """Paths that start from `data.root`."""
        return ()

    def how_read(self) -> dict[str, JsonValue]:
        """All that says how bytes become rows: the section without what says where they lie and what they must be."""
        return self.model_dump(mode="json", exclude=set(self.places | self.locks))

    def unlocked(self) -> Self:
        """The same source, which takes any bytes."""
        return self.model_copy(update={lock: {} for lock in self.locks})

    def locked(self, fetched: SourceRef) -> Self:
        """The same source, which takes no other bytes than those that were fetched."""
        del fetched
        return self

    @classmethod
    def hub_id(cls, fetched: SourceRef) -> str:
        """Name of the data set on the Hugging Face hub; empty where the hub does not know it."""
        del fetched
        return ""

    @classmethod
    def page(cls, fetched: SourceRef) -> str:
        """Address of the web page of what was fetched; whatever is no address is no page."""
        return fetched.uri
