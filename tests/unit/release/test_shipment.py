"""What is pushed is what is registered: the champion's files and the exports of its version, on a real MLflow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.release.promotion import crown
from stsflow.tasks.release.shipment import shipment_of
from stsflow.tasks.tracking.registry import DIGEST_TAG, EXPORT_TAG, FOLDER
from stsflow.tasks.tracking.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("registry")))


def register(store: Store, name: str, folder: Path, digest: str) -> str:
    """A version with a model of two files and one export, logged as MLflow's flavour and the release log them."""
    client: Any = store.client
    for path, text in {
        f"{FOLDER}/README.md": f"card of {digest}", f"{FOLDER}/1_Pooling/config.json": "{}", "MLmodel": "flavor",
        "exports/onnx-1234/model.onnx": "graph", "exports/onnx-1234/manifest.json": "{}",
    }.items():  # fmt: skip
        (folder / digest / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / digest / path).write_text(text)
    run, experiment = store.open_run("e", digest, {}, "", datetime.now(UTC))
    model = client.create_logged_model(experiment, name="model", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(folder / digest))
    client.finalize_logged_model(model.model_id, "READY")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(
        name, f"models:/{model.model_id}", run_id=run, model_id=model.model_id,
        tags={DIGEST_TAG: digest, EXPORT_TAG + "onnx": "exports/onnx-1234"},
    )  # fmt: skip
    return str(version.version)


def test_the_champion_is_shipped_with_its_card_and_exports(store: Store, tmp_path: Path) -> None:
    first, second = (register(store, "tickets", tmp_path, digest * 16) for digest in ("aaaa", "bbbb"))
    crown(store.registry, "tickets", first, "first")
    crown(store.registry, "tickets", second, "better by 0.02")
    found = shipment_of(store.registry, "tickets")
    assert {name: path.read_text() for name, path in found.files.items()} == {
        "README.md": "card of " + "bbbb" * 16, "1_Pooling/config.json": "{}",
        "exports/onnx/model.onnx": "graph", "exports/onnx/manifest.json": "{}",
    }  # fmt: skip
    assert (found.version, found.why, found.title) == (second, "better by 0.02", "tickets version 2 (bbbbbbbbbbbb)")
    again = shipment_of(store.registry, "tickets")
    assert again.files == found.files and again.mark == found.mark


def test_without_a_champion_there_is_nothing_to_push(store: Store, tmp_path: Path) -> None:
    register(store, "candidates-alone", tmp_path, "cccc" * 16)
    with pytest.raises(PreconditionError, match="'candidates-alone' has no champion"):
        shipment_of(store.registry, "candidates-alone")
