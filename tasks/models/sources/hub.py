"""A base model on the hub, at a revision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from stsflow.tasks.ground.names import HubId, Revision
from stsflow.tasks.models.sources.family import FULL_COMMIT, NEEDED_FILES, Located, ModelSource


class HubModel(ModelSource):
    """A model on the Hugging Face hub."""

    kind: Literal["hub"] = "hub"
    id: HubId
    """Name on the hub, such as `alibaba-nlp-community/gte-multilingual-base`."""
    revision: Revision
    """Commit to use. A branch or tag is accepted, but it moves: the run warns, and locks the commit that it found."""

    @property
    def hub_id(self) -> str:
        return self.id

    @property
    def moving_name(self) -> str:
        """The revision, unless it is a full commit."""
        return "" if self.pins_code else self.revision

    @property
    def pins_code(self) -> bool:
        return FULL_COMMIT.fullmatch(self.revision) is not None

    def locate(self, recipe_folder: Path, *, with_code: bool) -> Located:
        from stsflow.tasks.ground.hub import fetch_snapshot

        del recipe_folder
        patterns = (*NEEDED_FILES, "*.py") if with_code else NEEDED_FILES
        path = fetch_snapshot(self.id, self.revision, "model", allow_patterns=patterns)
        # The cache names a snapshot's folder after its full commit.
        return Located(self.id, path, path.name if FULL_COMMIT.fullmatch(path.name) else self.revision)

    def places_at_hand(self) -> Iterator[Path]:
        """The snapshot of its commit, where the hub's cache has it."""
        from stsflow.tasks.ground.hub import cached_snapshot

        if self.pins_code:
            found = cached_snapshot(self.id, self.revision, "model", allow_patterns=NEEDED_FILES)
            if found is not None:
                yield found

    def locked(self, revision: str) -> Self:
        """The same model at the commit `revision`, where that is one: a branch has become a commit."""
        return self.model_copy(update={"revision": revision}) if FULL_COMMIT.fullmatch(revision) else self

    @classmethod
    def hub_name(cls, name: str) -> str:
        """The name, also where it is one of the old ones without an owner."""
        return name

    @classmethod
    def page(cls, name: str, revision: str) -> str:
        """The page of the model at that commit."""
        page = super().page(name, revision)
        return f"{page}/tree/{revision}" if page else ""
