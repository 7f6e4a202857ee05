"""Killed between any two steps of a release, the champion is the old one or the new one; the same again ends it.

A real process, a real MLflow server, a real SIGKILL: a proxy between them keeps the process waiting at one request.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from holding_proxy import HoldingProxy, When
from one_release import Prepared, prepare, release, say_yes
from outages import mlflow_server
from patience import patience

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.release.promotion import crown
from stsflow.tasks.tracking.store import Store

What = Callable[[Prepared, str], object]
OLD, NEW = "a" * 64, "b" * 64
NUMBER = {"candidate": "2", "champion": "2", "previous": "1"}


class House:
    """One server, and as many releases as wanted, each of a registered model of its own with an old champion."""

    def __init__(self, place: Path) -> None:
        self.place, self.count = place, 0
        self.server, self.address = mlflow_server(place / "server")
        self.server.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", self.address)
            self.store = Store(Workspace(place / "workspace"))
        self.processes = multiprocessing.get_context("fork")  # MLflow is loaded once, not for each kill

    def candidate(self) -> Prepared:
        """A measured run, and the champion that it would replace."""
        self.count += 1
        name, registry = f"model-{self.count}", self.store.registry
        registry.client.create_registered_model(name)
        self.version(name, OLD)
        crown(registry, name, "1", "the first")
        return prepare(self.store, self.place / f"run-{self.count}", name, NEW)

    def version(self, name: str, weights: str) -> None:
        """A version of these weights, as another run makes one."""
        tags, client = {"stsflow.model_digest": weights}, self.store.client
        model = client.create_logged_model(self.store.experiment("releases"), "model", tags=tags)
        client.create_model_version(name, f"models:/{model.model_id}", tags=tags, model_id=model.model_id)

    def killed_at(self, prepared: Prepared, hold: int, when: When, what: What = release) -> list[str]:
        """Release until the change number `hold`, and SIGKILL there; the changes that were asked for."""
        with HoldingProxy(self.address, hold, when) as proxy:
            process = self.processes.Process(target=what, args=(prepared, proxy.url))
            process.start()
            assert proxy.reached.wait(patience(60)), proxy.changes
            os.kill(int(process.pid or 0), signal.SIGKILL)
            process.join(patience(30))
            assert process.exitcode == -signal.SIGKILL
            return list(proxy.changes)

    def all_changes(self, prepared: Prepared, what: What = release) -> list[str]:
        """Release in peace; the changes that were asked for."""
        with HoldingProxy(self.address) as proxy:
            process = self.processes.Process(target=what, args=(prepared, proxy.url))
            process.start()
            process.join(patience(60))
            assert process.exitcode == 0
            return list(proxy.changes)

    def aliases(self, prepared: Prepared) -> dict[str, str]:
        found = {name: self.store.registry.alias(prepared.name, name) for name in NUMBER}
        return {name: str(version.version) for name, version in found.items() if version is not None}

    def trail(self, prepared: Prepared) -> list[tuple[str, str | None, str | None]]:
        notes = sorted(self.store.registry.notes(prepared.name).items())
        steps = [json.loads(value) for key, value in notes if key.startswith("stsflow.trail.")]
        return [(step["what"], step["from"], step["to"]) for step in steps]

    def assert_whole(self, prepared: Prepared) -> None:
        """One version of the new weights, champion, with the export that passed, and each step of the trail once."""
        client = self.store.client
        versions = client.search_model_versions(f"name = '{prepared.name}'")
        assert sorted(str(version.version) for version in versions) == ["1", "2"]
        assert self.aliases(prepared) == NUMBER
        assert self.trail(prepared) == [("promoted", None, "1"), ("promoted", "1", "2")]
        version = client.get_model_version(prepared.name, "2")
        kept, _ = prepared.exports
        assert version.tags["stsflow.export.onnx"] == kept.place and "stsflow.export.int8" not in version.tags
        model = self.store.registry.logged_model_of(prepared.name, "2")
        files = [file.path for file in client.list_logged_model_artifacts(model, kept.place)]
        assert files == [f"{kept.place}/model.onnx"]
        tags = client.get_run(prepared.run_id).data.tags
        assert tags["stsflow.promoted"] == "true" and tags["stsflow.release.step"] == "settled"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("releases"))
    yield found
    found.server.stop()


def check_a_kill(house: House, hold: int, when: When) -> str:
    """Kill there, look, do the same again, look; return the request that was the last one."""
    prepared = house.candidate()
    changes = house.killed_at(prepared, hold, when)
    aliases = house.aliases(prepared)
    assert aliases["champion"] == "1" or aliases == NUMBER, (changes, aliases)
    house.all_changes(prepared)
    house.assert_whole(prepared)
    return f"{when} {changes[-1]}"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_release_that_is_killed_before_and_after_each_change_is_ended_by_the_same_again(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = house.candidate()
    changes = house.all_changes(undisturbed)
    house.assert_whole(undisturbed)
    assert any("alias" in change for change in changes) and any("model-versions" in change for change in changes)
    whens: tuple[When, ...] = ("before", "after")
    killed = [check_a_kill(house, hold, when) for hold in range(1, len(changes) + 1) for when in whens]
    with capsys.disabled():
        print("", *killed, sep="\n")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_champion_that_moves_while_a_release_is_dead_is_decided_against_anew(house: House) -> None:
    prepared = house.candidate()
    registry = house.store.registry
    made = house.all_changes(house.candidate()).index("POST /api/2.0/mlflow/model-versions/create") + 1
    house.killed_at(prepared, made, "after")
    house.version(prepared.name, "c" * 64)
    crown(registry, prepared.name, "3", "another run was faster")
    house.all_changes(prepared)
    assert house.aliases(prepared) == {"candidate": "2", "champion": "2", "previous": "3"}
    tags = house.store.client.get_run(prepared.run_id).data.tags
    assert tags["stsflow.release.against"] == "version 3"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_yes_that_is_killed_before_and_after_each_change_is_ended_by_the_same_again(house: House) -> None:
    asking = partial(release, approval_hours=72.0)

    def asked() -> Prepared:
        prepared = house.candidate()
        house.all_changes(prepared, asking)
        assert house.aliases(prepared) == {"candidate": "2", "champion": "1"}
        return prepared

    def assert_approved(prepared: Prepared) -> None:
        assert house.aliases(prepared) == NUMBER
        assert house.trail(prepared) == [("promoted", None, "1"), ("promoted", "1", "2")]
        tags = house.store.client.get_model_version(prepared.name, "2").tags
        assert (tags["stsflow.approval"], tags["stsflow.approval.by"]) == ("approved", "anna")

    undisturbed = asked()
    changes = house.all_changes(undisturbed, say_yes)
    assert_approved(undisturbed)
    whens: tuple[When, ...] = ("before", "after")
    for hold in range(1, len(changes) + 1):
        for when in whens:
            prepared = asked()
            house.killed_at(prepared, hold, when, say_yes)
            aliases = house.aliases(prepared)
            assert aliases["champion"] == "1" or aliases == NUMBER, (hold, when, aliases)
            house.all_changes(prepared, say_yes)
            assert_approved(prepared)
