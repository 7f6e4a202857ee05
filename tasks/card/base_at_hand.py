"""The base model that a card names, where this machine has it: looked for by us, never at a path that came with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.records.models import BaseModelRef


def base_at_hand(stated: BaseModelRef, source: ModelSource, own: Iterable[Path] = ()) -> BaseModelRef | None:
    """The record `stated`, at a folder of this machine whose content has the digest that it states; None without one.

    Looked at are the installed package or the snapshot in the hub's cache that `source` names, and `own`: folders that
    the person or the person's workspace knows. Nothing is fetched, and code of the model stays off whatever the record
    says.
    """
    for folder in (*own, *source.places_at_hand()):
        if folder.is_dir() and sha256_of_model(folder) == stated.digest:
            return stated.model_copy(update={"path": folder, "trust_remote_code": False})
    return None
