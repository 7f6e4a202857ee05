"""Registered models as other stages see them: a name, a version, a folder and a digest."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.names import MODEL, WORD
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store


class RegisteredModel(Record):
    """One version of a registered model, on the local disk."""

    name: str
    version: str
    run_id: str
    path: Path
    digest: str
    """Digest of the model folder that was logged (see TrainedModel.model_digest)."""


def champion_of(store: Store, name: str, workspace: Workspace) -> RegisteredModel | None:
    """The version that the alias `champion` points to, or None."""
    return model_at(store, name, "champion", workspace)


def model_at(store: Store, name: str, alias: str, workspace: Workspace) -> RegisteredModel | None:
    """The version that `alias` points to, downloaded once into the workspace; None when there is no such alias."""
    version = store.alias(name, alias)
    return None if version is None else _local(store, name, str(version.version), workspace)


def model_by_uri(store: Store, uri: str, workspace: Workspace) -> RegisteredModel:
    """The model behind `models:/name@alias` or `models:/name/version`; raises PreconditionError when there is none."""
    rest = uri.removeprefix("models:/").strip("/")
    name, at, alias = rest.rpartition("@")
    if at:
        MODEL.check(uri, name)
        WORD.check(uri, alias)
        found = model_at(store, name, alias, workspace)
        if found is None:
            raise PreconditionError(f"{uri}: the registered model {name!r} has no alias {alias!r} in {store.shown_uri}")
        return found
    name, slash, number = rest.rpartition("/")
    if not slash or not number.isdigit():
        raise PreconditionError(f"{uri}: write models:/name@alias or models:/name/version")
    return _local(store, MODEL.check(uri, name), number, workspace)


def _local(store: Store, name: str, version: str, workspace: Workspace) -> RegisteredModel:
    details = store.model_version(name, version)
    digest = str(details.tags.get("stsflow.model_digest", ""))
    # By content: a database that was made anew counts its versions from 1 again.
    key = fingerprint(store.shown_uri, name, digest, details.creation_timestamp)
    target = workspace.root / "registry" / f"{key[:12]}-{version}"
    with lease(workspace.lease(f"registry-{target.name}")):
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            store.download_model(name, version, target)
    return RegisteredModel(name=name, version=version, run_id=str(details.run_id), path=target, digest=digest)
