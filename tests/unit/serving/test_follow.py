"""An alias that moves while requests come: the new version answers from then on, and no request fails."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models import SENTENCES, build_tiny_model
from patience import patience
from sentence_transformers import SentenceTransformer
from served import Served, served

from stsflow.tasks.ground.errors import ModelError, PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.serving.address import locate
from stsflow.tasks.serving.follow import Follower
from stsflow.tasks.serving.limits import Limits
from stsflow.tasks.serving.model import ServedModel
from stsflow.tasks.serving.server import listening_socket
from stsflow.tasks.serving.service import Service
from stsflow.tasks.tracking.store import Store

TEXTS = list(SENTENCES[:5])


@pytest.fixture
def store(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A registry with two versions of a model, the first the champion."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    store = Store(workspace)
    store.client.create_registered_model("tiny")
    for seed in (1, 2):
        folder = build_tiny_model(tmp_path / f"seed-{seed}", "bert", seed=seed)
        store.client.create_model_version("tiny", source=str(folder), tags={"stsflow.model_digest": f"seed {seed}"})
    store.registry.set_alias("tiny", "champion", "1")
    return store


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + patience(60)
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def failures(server: Served) -> float:
    return float(server.service.metrics.registry.get_sample_value("stsflow_serving_alias_failures_total") or 0)


def test_an_alias_that_moves_under_load_fails_no_request(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    own = {
        f"models:/tiny/{seed}": SentenceTransformer(str(tmp_path / f"seed-{seed}"), device="cpu").encode(TEXTS)
        for seed in (1, 2)
    }
    located, alias = locate("models:/tiny@champion", workspace)
    assert alias is not None and located.label == "models:/tiny/1"
    service = Service(ServedModel.load(located, "cpu"), Limits())
    answered: Counter[str] = Counter()
    worst = [0.0]
    ended = threading.Event()
    follower = Follower(alias, service, "cpu", 0.1)

    def ask(server: Served) -> None:
        while not ended.is_set():
            answer = server.ask(TEXTS, model="tiny")
            if answer.status_code != 200:
                answered["failed"] += 1
                return
            found = answer.json()
            rows = np.array([item["embedding"] for item in found["data"]])
            worst[0] = max(worst[0], float(np.abs(rows - own[found["model"]]).max()))
            answered[found["model"]] += 1

    with served(service.model, service=service, follower=follower) as server:
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(4)]
        for client in clients:
            client.start()
        assert until(lambda: answered["models:/tiny/1"] > 8)
        store.registry.set_alias("tiny", "champion", "2")
        assert until(lambda: answered["models:/tiny/2"] > 8)
        store.registry.set_alias("tiny", "champion", "1")  # a rollback
        before = answered["models:/tiny/1"]
        assert until(lambda: answered["models:/tiny/1"] > before + 8)
        ended.set()
        for client in clients:
            client.join(patience(60))
        assert server.ask("x", model="models:/tiny/2").status_code == 404
        assert server.ask("x", model="models:/tiny@champion").json()["model"] == "models:/tiny/1"
    assert not answered["failed"] and worst[0] <= 2e-6
    assert failures(server) == 0


def test_a_version_that_cannot_be_served_leaves_the_old_one_in_its_place(
    store: Store, workspace: Workspace, tmp_path: Path
) -> None:
    bad = build_tiny_model(tmp_path / "bad", "bert")
    (bad / "model.safetensors").write_bytes(b"\x00" * 100)
    store.client.create_model_version("tiny", source=str(bad))
    store.client.create_model_version("tiny", source=str(tmp_path / "nowhere"))
    located, alias = locate("models:/tiny@champion", workspace)
    assert alias is not None
    service = Service(ServedModel.load(located, "cpu"), Limits())
    with served(service.model, service=service, follower=Follower(alias, service, "cpu", 0.1)) as server:
        for version in ("3", "4"):
            before = failures(server)
            store.registry.set_alias("tiny", "champion", version)
            assert until(lambda before=before: failures(server) > before)  # type: ignore[misc]
            assert server.ask("x").json()["model"] == "models:/tiny/1"
        before = failures(server)
        store.registry.delete_alias("tiny", "champion")
        assert until(lambda: failures(server) > before + 1)
        assert server.ask("x").json()["model"] == "models:/tiny/1"
        store.registry.set_alias("tiny", "champion", "2")
        assert until(lambda: server.ask("x").json()["model"] == "models:/tiny/2")


@pytest.mark.usefixtures("store")
def test_what_is_named_is_found_or_refused_with_a_sentence(workspace: Workspace, tiny_bert: Path) -> None:
    """An exact version and a folder are served as they are, and not followed."""
    located, alias = locate("models:/tiny/2", workspace)
    assert located.label == "models:/tiny/2" and located.names >= {"models:/tiny/2", "tiny"} and alias is None
    located, alias = locate(str(tiny_bert), workspace)
    assert located.names == {tiny_bert.name} and alias is None
    for address, sentence in (
        ("models:/tiny@nobody", "has no alias 'nobody'"), ("models:/tiny/9", "has no version 9"),
        ("models:/tiny", "write models:/name@alias or models:/name/version"),
        ("no/such/folder", "there is no such folder; give a folder, models:/name@alias or models:/name/version"),
    ):  # fmt: skip
        with pytest.raises((PreconditionError, ModelError), match=sentence):
            locate(address, workspace)


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PreconditionError, match=f"127.0.0.1:{port} cannot be listened on: Address already in use"):
            listening_socket("127.0.0.1", port)
