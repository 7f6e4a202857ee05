"""The family of places that a base model comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from stsflow.tasks.ground.family import Kind

# Everything a model is loaded from; exports to other runtimes and pickled weights stay on the hub.
NEEDED_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*")
FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class Located(NamedTuple):
    """A model that lies on the local disk."""

    name: str
    """For people and the card."""
    path: Path
    revision: str
    """Commit or package version; empty when only the content identifies it."""


class ModelSource(Kind):
    """Where a base model comes from. A member that a kind does not state holds as it stands here."""

    @property
    def hub_id(self) -> str:
        """Its name on the hub; empty where it does not come from there."""
        return ""

    @property
    def moving_name(self) -> str:
        """The branch or tag that it names, which may mean another model tomorrow; empty for what does not move."""
        return ""

    @property
    def pins_code(self) -> bool:
        """Whether a commit fixes what is there, so that a person can have read the code in it."""
        return False

    @property
    def own_folder(self) -> Path | None:
        """A folder of the person's own that it names."""
        return None

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
        """The model on the local disk, fetched where it is not there yet; a relative path starts at `recipe_folder`.

        `with_code` also takes the Python files that a repository carries. Raises ModelError, or DownloadFailed.
        """
        raise NotImplementedError

    def places_at_hand(self) -> Iterator[Path]:
        """Folders of this machine that may hold it, found without the network and never at a path that it names."""
        return iter(())

    def locked(self, revision: str) -> Self:
        """The same source, fixed to what was found there."""
        del revision
        return self

    @classmethod
    def hub_name(cls, name: str) -> str:
        """`name` where it may be an id of the hub, which its cards ask for; else empty."""
        return name if HUB_NAME.fullmatch(name) else ""

    @classmethod
    def page(cls, name: str, revision: str) -> str:
        """Address of the web page of what was found under `name`; empty where it has none."""
        del revision
        return f"https://huggingface.co/{name}" if HUB_NAME.fullmatch(name) else ""
