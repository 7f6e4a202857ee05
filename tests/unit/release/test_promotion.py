"""Aliases move only forward, or back once, and every move leaves a trail; on a real MLflow registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.errors import PreconditionError
from tasks.release.promotion import CANDIDATE, CHAMPION, PREVIOUS, crown, go_back, nominate
from tasks.tracking.store import Store
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("registry")))


@pytest.fixture
def name(store: Store, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registered model with three versions."""
    model = request.node.name[:60].replace("[", "-").replace("]", "")
    store.client.create_registered_model(model)
    for _ in range(3):
        store.client.create_model_version(model, source=str(tmp_path))
    return model


def version(store: Store, name: str, alias: str) -> str | None:
    found = store.alias(name, alias)
    return None if found is None else str(found.version)


def trail(store: Store, name: str) -> list[dict[str, str]]:
    tags = store.client.get_registered_model(name).tags
    return [json.loads(value) for key, value in sorted(tags.items()) if key.startswith("stsflow.trail.")]


def test_the_first_champion_replaces_nobody(store: Store, name: str) -> None:
    nominate(store, name, "1")
    assert crown(store, name, "1", "better than the base") is None
    assert (version(store, name, CANDIDATE), version(store, name, CHAMPION)) == ("1", "1")
    assert version(store, name, PREVIOUS) is None


def test_the_old_champion_becomes_previous_and_the_trail_says_why(store: Store, name: str) -> None:
    crown(store, name, "1", "first")
    assert crown(store, name, "2", "better by a paired test") == "1"
    assert (version(store, name, CHAMPION), version(store, name, PREVIOUS)) == ("2", "1")
    last = trail(store, name)[-1]
    assert (last["what"], last["from"], last["to"], last["why"]) == ("promoted", "1", "2", "better by a paired test")
    assert last["who"] and last["when"]


def test_crowning_the_champion_again_changes_nothing(store: Store, name: str) -> None:
    crown(store, name, "1", "first")
    crown(store, name, "2", "second")
    crown(store, name, "2", "again")
    assert (version(store, name, CHAMPION), version(store, name, PREVIOUS)) == ("2", "1")
    assert len(trail(store, name)) == 2


def test_rollback_restores_the_previous_one_once(store: Store, name: str) -> None:
    crown(store, name, "1", "first")
    crown(store, name, "2", "second")
    assert go_back(store, name, "it was worse for users") == ("2", "1")
    assert (version(store, name, CHAMPION), version(store, name, PREVIOUS)) == ("1", None)
    assert trail(store, name)[-1]["what"] == "rolled back"
    with pytest.raises(PreconditionError, match="no previous champion to go back to; version 1 is champion"):
        go_back(store, name, "again")
