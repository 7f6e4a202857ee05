"""A base model in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stsflow.tasks.models.sources.family import Located, ModelSource


class DirectoryModel(ModelSource):
    """A model in a local folder: a sentence-transformers model or a plain transformers encoder."""

    kind: Literal["directory"] = "directory"
    path: Path
    """The folder, absolute or relative to the recipe's folder."""
    name: str | None = None
    """Name for the card; default: the folder's name."""

    @property
    def own_folder(self) -> Path:
        return self.path

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
        del with_code
        path = (recipe_folder / self.path.expanduser()).absolute()
        return Located(self.name or path.name, path, "")

    @classmethod
    def page(cls, name: str, revision: str) -> str:
        """None: what its folder is called says nothing of a page."""
        del name, revision
        return ""
