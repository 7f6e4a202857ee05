"""The base model that a card names, where this machine has it: looked for by us, never at a path that came with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from stsflow.tasks.ground.errors import StsflowError
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.hub import cached_snapshot
from stsflow.tasks.models.sources import NEEDED_FILES, HubModel, ModelSource, PackageModel
from stsflow.tasks.records.models import BaseModelRef


def base_at_hand(stated: BaseModelRef, source: ModelSource, own: Iterable[Path] = ()) -> BaseModelRef | None:
    """The record `stated`, at a folder of this machine whose content has the digest that it states; None without one.

    Looked at are the installed package or the snapshot in the hub's cache that `source` names, and `own`: folders that
    the person or the person's workspace knows. Nothing is fetched, and code of the model stays off whatever the record
    says.
    """
    for folder in (*own, *_known_places(source)):
        if folder.is_dir() and sha256_of_model(folder) == stated.digest:
            return stated.model_copy(update={"path": folder, "trust_remote_code": False})
    return None


def _known_places(source: ModelSource) -> Iterator[Path]:
    if isinstance(source, HubModel) and re.fullmatch(r"[0-9a-f]{40}", source.revision):
        found = cached_snapshot(source.id, source.revision, "model", allow_patterns=NEEDED_FILES)
        if found is not None:
            yield found
    if isinstance(source, PackageModel):
        try:
            package = source.model_copy(update={"subfolder": ""}).locate(Path(), with_code=False).path.resolve()
        except StsflowError:
            return
        if (folder := (package / source.subfolder).resolve()).is_relative_to(package):
            yield folder
