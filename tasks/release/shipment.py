"""What a push takes to the hub: the champion as it is registered, with all of its card, and its exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.release.hub_repository import Mark
from stsflow.tasks.release.trail import CHAMPION, steps_of
from stsflow.tasks.tracking.registry import Registry


@dataclass(frozen=True)
class Shipment:
    """What is pushed."""

    name: str
    """Of the registered model."""
    version: str
    digest: str
    """Of its weights."""
    files: Mapping[str, Path]
    """By their paths in the repository."""
    why: str = ""
    """Why this version is champion, for whoever reads the commit."""

    @property
    def title(self) -> str:
        """First line of the commit, and title of a pull request, by which it is found again."""
        return f"{self.name} version {self.version} ({self.digest[:12]})"

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file, by its path in the repository."""
        return {name: sha256_of_file(path) for name, path in sorted(self.files.items())}

    @cached_property
    def mark(self) -> bytes:
        """Content of the mark; the same for the same files."""
        mark = Mark(registered_as=self.name, version=self.version, model_digest=self.digest, files=self.hashes)
        return mark.model_dump_json(indent=1).encode() + b"\n"


def shipment_of(registry: Registry, name: str) -> Shipment:
    """The champion of the registered model `name`, fetched from the registry: what passed is what is pushed.

    Raises PreconditionError when there is no champion, or its files are gone.
    """
    champion = registry.at(name, CHAMPION)
    if champion is None:
        raise PreconditionError(
            f"the registered model {name!r} has no champion in {registry.shown_uri}; only what was promoted is pushed"
        )
    files = _below(champion.path)
    for export, folder in registry.exports_of(name, champion.version).items():
        files |= _below(folder, f"exports/{export}/")
    why = [step.why for step in steps_of(registry, name) if step.new == champion.version]
    return Shipment(
        name=name, version=champion.version, digest=champion.digest, files=files,
        why=why[-1] if why else "",
    )  # fmt: skip


def _below(folder: Path, at: str = "") -> dict[str, Path]:
    """Every file below `folder`, by its path in the repository, where the folder lies at `at`."""
    return {at + path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
