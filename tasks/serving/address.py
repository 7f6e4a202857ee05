"""Which model a person named, where it lies on this disk, and under which names it may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.sources import DirectoryModel
from stsflow.tasks.recipe.sections import ModelConfig
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.tracking.registry import RegisteredModel
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.store_address import check_reachable

REGISTERED = "models:/"


@dataclass(frozen=True)
class Located:
    """A model on the local disk that may be loaded."""

    label: str
    """What answers call it: `models:/name/version`, or the name of its folder."""
    names: frozenset[str]
    """What a request may call it."""
    version: str
    """Version of a registered model; empty for a folder."""
    digest: str
    """SHA-256 over the folder's files."""
    reference: BaseModelRef


@dataclass(frozen=True)
class Alias:
    """An alias of a registered model, which may move."""

    name: str
    alias: str
    store: Store

    def version(self) -> str | None:
        """The version that it points to now; None for none."""
        found = self.store.registry.alias(self.name, self.alias)
        return None if found is None else str(found.version)

    def locate(self, version: str) -> Located:
        """That version, brought to this disk; raises PreconditionError when it cannot be had, ModelError when it may
        not be loaded.
        """
        registered = self.store.registry.by_uri(f"{REGISTERED}{self.name}/{version}")
        return _registered(registered, f"{REGISTERED}{self.name}@{self.alias}")


def locate(address: str, workspace: Workspace) -> tuple[Located, Alias | None]:
    """The model at `address`, a folder or `models:/name@alias` or `models:/name/version`, and the alias to follow.

    Raises ModelError when there is none that may be loaded, PreconditionError when MLflow does not have it or does not
    answer.
    """
    if not address.startswith(REGISTERED):
        path = Path(address)
        if not path.is_dir():
            raise ModelError(
                f"{address}: there is no such folder; give a folder, models:/name@alias or models:/name/version (a "
                "model of the hub is fetched first: `hf download ID --revision COMMIT --local-dir FOLDER`)"
            )
        reference = _reference(path.resolve())
        name = path.resolve().name
        return Located(name, frozenset({name}), "", reference.digest, reference), None
    check_reachable(workspace)
    store = Store(workspace)
    registered = store.registry.by_uri(address)
    name, at, alias = address.removeprefix(REGISTERED).strip("/").rpartition("@")
    return _registered(registered, address), Alias(name, alias, store) if at else None


def _registered(registered: RegisteredModel, address: str) -> Located:
    label = f"{REGISTERED}{registered.name}/{registered.version}"
    reference = _reference(registered.path)
    names = frozenset({label, address, registered.name})
    return Located(label, names, registered.version, reference.digest, reference)


def _reference(path: Path) -> BaseModelRef:
    return fetch_base_model(ModelConfig(source=DirectoryModel(path=path)), Workspace.here())
