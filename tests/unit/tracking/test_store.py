"""The store itself: which MLflow it speaks to."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow.entities import LoggedModelOutput, LoggedModelStatus

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.store import Store


def test_two_workspaces_of_one_process_have_a_store_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    first, second = Store(Workspace(tmp_path / "first")), Store(Workspace(tmp_path / "second"))
    assert (
        first.uri == f"sqlite:///{tmp_path}/first/mlflow.db" and second.uri == f"sqlite:///{tmp_path}/second/mlflow.db"
    )
    assert "MLFLOW_TRACKING_URI" not in os.environ and "MLFLOW_REGISTRY_URI" not in os.environ
    run, _ = second.open_run("e", "only here", {}, "", datetime.now(UTC))
    assert second.run(run).info.run_name == "only here"
    assert first.client.search_runs([first.experiment("e")]) == []


def test_weights_that_are_registered_make_no_second_version(tmp_path: Path) -> None:
    """Three runs, of which the first and the last make the same weights; the model of the last is linked to it."""
    store = Store(Workspace(tmp_path / "workspace"))
    versions = []
    for digest in ("a" * 64, "b" * 64, "a" * 64):
        run, experiment = store.open_run("e", "run", {}, "", datetime.now(UTC))
        entry = Model(path="model", digest=digest, dimension=2, example=("x",), register_as="it's a model")
        if not store.registry.link_model(run, digest):
            logged = store.client.create_logged_model(experiment, "model", run, tags={"stsflow.model_digest": digest})
            store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
            store.client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
        versions.append(store.registry.register(run, entry, tmp_path))
        assert store.registry.register(run, entry, tmp_path) == versions[-1]
    assert versions == ["1", "2", "1"]
    assert (
        store.registry.version_with("it's a model", "c" * 64) is None
        and store.registry.version_with("nobody", "a" * 64) is None
    )


def test_a_model_that_was_registered_anew_is_not_taken_for_the_copy_of_the_old_one(tmp_path: Path) -> None:
    """A registered model that was deleted and made again counts its versions from 1 again."""
    workspace = Workspace(tmp_path / "workspace")
    store = Store(workspace)
    found = []
    for text in ("old", "new"):
        folder = tmp_path / text
        folder.mkdir()
        (folder / "config.json").write_text(text, encoding="utf-8")
        store.client.create_registered_model("m")
        store.client.create_model_version("m", source=str(folder), tags={"stsflow.model_digest": text})
        store.registry.set_alias("m", "champion", "1")
        champion = store.registry.at("m", "champion")
        assert champion is not None and champion.digest == text
        found.append((champion.path / "config.json").read_text(encoding="utf-8"))
        store.client.delete_registered_model("m")
    assert found == ["old", "new"]


def test_a_version_that_is_deleted_between_two_steps_is_a_sentence(tmp_path: Path) -> None:
    store = Store(Workspace(tmp_path / "w"))
    (tmp_path / "model").mkdir()
    store.client.create_registered_model("m")
    version = store.client.create_model_version("m", (tmp_path / "model").as_uri())
    store.registry.set_alias("m", "candidate", version.version)
    candidate = store.registry.alias("m", "candidate")
    assert candidate is not None
    store.client.delete_model_version("m", version.version)
    for step in (
        lambda: store.registry.set_alias("m", "champion", candidate.version),
        lambda: store.registry.model_version("m", candidate.version),
        lambda: store.registry.download_model("m", candidate.version, tmp_path / "target"),
    ):
        with pytest.raises(PreconditionError, match=r"version 1 of .m.|has no version 1"):
            step()
    store.client.delete_registered_model("m")
    for gone in (lambda: store.registry.note("m", "k", "v"), lambda: store.registry.delete_alias("m", "candidate")):
        with pytest.raises(PreconditionError, match="'m'"):
            gone()
