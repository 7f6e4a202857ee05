"""Registered models: their versions, aliases and notes, and their files on the local disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError, TrackingUnavailable
from stsflow.tasks.ground.files import folder_made_whole
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.names import MODEL, WORD
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.refusals import in_short, refused_before_work, unless_missing

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DIGEST_TAG = "stsflow.model_digest"
"""Tag of a logged model and of a version: digest of the weights."""
FOLDER = "model.sentence_transformer"
"""Folder of the model among the files of a logged model, as MLflow's flavour calls it."""
EXPORT_TAG = "stsflow.export."
"""With an export's name, tag of a version: where the export lies among its artifacts."""


class RegisteredModel(Record):
    """One version of a registered model, on the local disk."""

    name: str
    version: str
    run_id: str
    path: Path
    digest: str
    """Digest of the model folder that was logged (see TrainedModel.model_digest)."""


class Registry:
    """MLflow's model registry, as far as stsflow needs it."""

    def __init__(self, client: MlflowClient, uri: str, registry_uri: str, workspace: Workspace) -> None:
        """The registry that `client` speaks to; files are kept in `workspace`."""
        self.client, self.uri, self.registry_uri, self.workspace = client, uri, registry_uri, workspace
        self.shown_uri = without_credentials(uri)

    def alias(self, name: str, alias: str) -> Any | None:
        """The model version that `alias` of registered model `name` points to, or None."""
        return unless_missing(lambda: self.client.get_model_version_by_alias(name, alias))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` of registered model `name` at `version`; raises PreconditionError when MLflow refuses.

        It does when somebody has deleted the version since it was looked up.
        """
        with refused_before_work(self.shown_uri, f"the alias {alias!r} for version {version} of {name!r}"):
            self.client.set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove `alias` of registered model `name`; raises PreconditionError when MLflow refuses."""
        with refused_before_work(self.shown_uri, f"to remove the alias {alias!r} of {name!r}"):
            self.client.delete_registered_model_alias(name, alias)

    def note(self, name: str, key: str, value: str) -> None:
        """Keep a tag on registered model `name`; raises PreconditionError when MLflow refuses."""
        with refused_before_work(self.shown_uri, f"a tag on {name!r}"):
            self.client.set_registered_model_tag(name, key, value)

    def notes(self, name: str) -> dict[str, str]:
        """The tags of registered model `name`; none when there is no such model."""
        return unless_missing(lambda: dict(self.client.get_registered_model(name).tags)) or {}

    def weights_of(self, name: str, version: str) -> str | None:
        """Digest of the version's weights, `version N` where it carries none; None when there is no such version."""
        tags = unless_missing(lambda: self.client.get_model_version(name, version).tags)
        return None if tags is None else tags.get(DIGEST_TAG) or f"version {version}"

    def model_version(self, name: str, version: str) -> Any:
        """Details of a version; raises PreconditionError when there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version(name, version)
        except MlflowException as error:
            raise PreconditionError(
                f"the registered model {name!r} has no version {version} in {self.shown_uri}"
            ) from error

    def version_with(self, name: str, digest: str) -> str | None:
        """Number of the newest version of registered model `name` that holds the weights with this digest, or None."""
        # The name stays out of the filter, which has no way to write a quote within a text.
        found = self.client.search_model_versions(f"tags.`{DIGEST_TAG}` = '{digest}'")
        return max((str(version.version) for version in found if version.name == name), key=int, default=None)

    def register(self, run_id: str, entry: Model, folder: Path) -> str:
        """Number of the registered model's version with the weights of `entry`, made when there is none yet.

        A run that makes weights which are registered already makes no second version of the same bytes. Exports that
        passed are artifacts of the model before the version is made, and tags of the version say where each lies; one
        that did not pass has none. Paths of exports are relative to `folder`.
        """
        name = str(entry.register_as)
        with lease(self.workspace.lease(f"register-{fingerprint(name)[:24]}")):
            version = self.version_with(name, entry.digest)
            tags = self.version_tags(name, version) if version is not None else {}
            places = {EXPORT_TAG + export.name: export.place for export in entry.exports if export.passed}
            missing = {tag: place for tag, place in places.items() if tags.get(tag) != place}
            if version is None:
                model = self._model_of(run_id, entry.digest)
                self._send_exports(model.model_id, entry, folder, missing)
                return self._new_version(name, run_id, entry, model.model_id, places)
            # The version's own files: another experiment's run with the same weights has a logged model of its own.
            self._send_exports(self.logged_model_of(name, version), entry, folder, missing)
            for tag, place in missing.items():
                self.tag_version(name, version, tag, place)
            for export in entry.exports:
                if not export.passed and EXPORT_TAG + export.name in tags:
                    self.client.delete_model_version_tag(name, version, EXPORT_TAG + export.name)
            return version

    def _send_exports(self, model_id: str, entry: Model, folder: Path, missing: dict[str, str]) -> None:
        """Upload the exports whose tags are in `missing` to the files of the logged model; twice is no harm."""
        for export in entry.exports:
            if EXPORT_TAG + export.name in missing:
                self.client.log_model_artifacts(model_id, str(folder / export.path), export.place)

    def _new_version(self, name: str, run_id: str, entry: Model, model_id: str, places: dict[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(
                name, description=f"Sentence-embedding models of the recipe that registers as {name}."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self.client.create_model_version(
            name, source=f"models:/{model_id}", run_id=run_id, description=entry.description[:90_000],
            tags=dict(entry.tags) | places | {DIGEST_TAG: entry.digest}, model_id=model_id,
        )  # fmt: skip
        return str(version.version)

    def _model_of(self, run_id: str, digest: str) -> Any:
        model = self.logged_model(run_id, digest)
        if model is None:
            raise TrackingUnavailable(f"the run {run_id} holds no logged model with digest {digest[:12]} to register")
        return model

    def logged_model_of(self, name: str, version: str) -> str:
        """Id of the logged model whose files are the version's; MLflow's REST answer has it in the source alone."""
        return str(self.model_version(name, version).source).removeprefix("models:/")

    def version_tags(self, name: str, version: str) -> dict[str, str]:
        """Tags of a version; raises PreconditionError when there is no such version."""
        return dict(self.model_version(name, version).tags)

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        """Keep a tag on a version; raises PreconditionError when MLflow refuses."""
        with refused_before_work(self.shown_uri, f"a tag on version {version} of {name!r}"):
            self.client.set_model_version_tag(name, version, key, value)

    def logged_model(self, run_id: str, digest: str) -> Any | None:
        """The model with this digest that the run has logged, or None."""
        run = self.client.get_run(run_id)
        for output in getattr(getattr(run, "outputs", None), "model_outputs", None) or []:
            model = self.client.get_logged_model(output.model_id)
            if model.tags.get(DIGEST_TAG) == digest:
                return model
        return None

    def link_model(self, run_id: str, digest: str) -> bool:
        """Make a model with this digest that another run of the experiment has logged one of this run too; whether
        there was one.
        """
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        experiment = self.client.get_run(run_id).info.experiment_id
        found = self.client.search_logged_models([experiment], f"tags.`{DIGEST_TAG}` = '{digest}'", max_results=20)
        ready = [model for model in found if model.status == LoggedModelStatus.READY]
        if ready:
            self.client.log_outputs(run_id, [LoggedModelOutput(ready[0].model_id, step=0)])
        return bool(ready)

    def at(self, name: str, alias: str) -> RegisteredModel | None:
        """The version that `alias` points to, downloaded once into the workspace; None when there is no such alias."""
        version = self.alias(name, alias)
        return None if version is None else self._local(name, str(version.version))

    def by_uri(self, uri: str) -> RegisteredModel:
        """The model behind `models:/name@alias` or `models:/name/version`; raises PreconditionError without one."""
        rest = uri.removeprefix("models:/").strip("/")
        name, at, alias = rest.rpartition("@")
        if at:
            found = self.at(MODEL.check(uri, name), WORD.check(uri, alias))
            if found is None:
                raise PreconditionError(
                    f"{uri}: the registered model {name!r} has no alias {alias!r} in {self.shown_uri}"
                )
            return found
        name, slash, number = rest.rpartition("/")
        if not slash or not number.isdigit():
            raise PreconditionError(f"{uri}: write models:/name@alias or models:/name/version")
        return self._local(MODEL.check(uri, name), number)

    def _local(self, name: str, version: str) -> RegisteredModel:
        details = self.model_version(name, version)
        digest = str(details.tags.get(DIGEST_TAG, ""))
        # By content: a database that was made anew counts its versions from 1 again.
        key = fingerprint(self.shown_uri, name, digest, details.creation_timestamp)
        target = self.workspace.root / "registry" / f"{key[:12]}-{version}"
        with lease(self.workspace.lease(f"registry-{target.name}")):
            if not target.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                self.download_model(name, version, target)
        return RegisteredModel(name=name, version=version, run_id=str(details.run_id), path=target, digest=digest)

    def exports_of(self, name: str, version: str) -> dict[str, Path]:
        """Folders of the exports that the version holds, by name, downloaded once into the workspace.

        Raises PreconditionError when their files are gone.
        """
        import mlflow

        found = {}
        for tag, place in sorted(self.version_tags(name, version).items()):
            if not tag.startswith(EXPORT_TAG):
                continue
            key = fingerprint(self.shown_uri, name, version, place)
            target = self.workspace.root / "registry" / f"export-{key[:12]}"
            with lease(self.workspace.lease(f"registry-{target.name}")), tempfile.TemporaryDirectory() as scratch:
                if not target.is_dir():
                    try:
                        local = Path(mlflow.artifacts.download_artifacts(
                                f"models:/{name}/{version}/{place}", dst_path=scratch, tracking_uri=self.uri,
                                registry_uri=self.registry_uri,
                            ))  # fmt: skip
                    except (mlflow.MlflowException, OSError) as error:
                        raise PreconditionError(
                            f"the export {place} of version {version} of {name!r} cannot be had from {self.shown_uri}: "
                            f"{in_short(error)}"
                        ) from error
                    with folder_made_whole(target) as whole:
                        shutil.copytree(local, whole, dirs_exist_ok=True)
            found[tag.removeprefix(EXPORT_TAG)] = target
        return found

    def download_model(self, name: str, version: str, target: Path) -> Path:
        """The sentence-transformers folder of a registered version, copied below `target`.

        Raises PreconditionError when the version or its files are gone.
        """
        import mlflow

        # Exports may be many times the model's size, and whoever loads the model needs none of them.
        exported = any(tag.startswith(EXPORT_TAG) for tag in self.version_tags(name, version))
        uri = f"models:/{name}/{version}" + (f"/{FOLDER}" if exported else "")
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            try:
                local = Path(mlflow.artifacts.download_artifacts(
                        uri, dst_path=scratch, tracking_uri=self.uri,
                        registry_uri=self.registry_uri,
                    ))  # fmt: skip
            except (mlflow.MlflowException, FileNotFoundError, NotADirectoryError) as error:
                raise PreconditionError(
                    f"the files of version {version} of {name!r} cannot be had from {self.shown_uri}: {in_short(error)}"
                ) from error
            folder = local / FOLDER
            os.rename(folder if folder.is_dir() else local, target)
        return target
