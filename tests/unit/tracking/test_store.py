"""The store itself: which MLflow it speaks to."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.tracking.store import Store
from tasks.workspace import Workspace


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
