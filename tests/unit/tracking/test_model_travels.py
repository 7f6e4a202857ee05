"""A model goes to MLflow as the folder that was measured, with all of its card, and comes back the same."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from models import build_tiny_model

from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.model_process import log_model_in_child
from stsflow.tasks.tracking.store import Store


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_registered_model_comes_back_byte_for_byte_with_its_card_facts_and_figures(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "run" / "model", "bert")
    (model / "figures").mkdir()
    for name in ("README.md", "facts.json", "figures/base-vs-tuned.png"):
        (model / name).write_text(f"the {name} of the run\n")
    workspace = Workspace(tmp_path / "workspace")
    store = Store(workspace)
    run, _ = store.open_run("e", "run", {}, "", datetime.now(UTC))
    entry = Model(
        path="model", digest=sha256_of_model(model), dimension=32, example=("A text.",), register_as="tiny"
    )  # fmt: skip
    log_model_in_child(store.uri, run, model, entry, tmp_path / "run")
    version = store.registry.register(run, entry, tmp_path)
    back = store.registry.by_uri(f"models:/tiny/{version}")
    assert contents(back.path) == contents(model)
    published = back.path.parent.parent / "mlartifacts"
    described = [path.read_text() for path in published.rglob("MLmodel")] or ["source_model_name: model"]
    assert not any(str(tmp_path / "run") in text for text in described)
