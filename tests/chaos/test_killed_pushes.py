"""A push that is killed at any of its requests is ended by the same push again: the same files, one commit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from pathlib import Path

import pytest
from hub_with_accounts import Account, HubWithAccounts
from misbehaving_server import Page
from patience import patience

from stsflow.tasks.recipe.sections import PushConfig
from stsflow.tasks.release.push import push
from stsflow.tasks.release.shipment import Shipment

TOKEN = "hf_PlantedTokenOfAnna0123456789"
REPO = "acme/tickets"
CARD = b"---\nlanguage:\n- ko\nlicense: mit\n---\n# Tickets\n"


class KillingHub(HubWithAccounts):
    """Kills the process `client` at the request number `at` that sends something: before or after it is carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.at, self.after, self.count = 0, 0, False, 0
        self.turn = threading.Lock()

    def taken(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Page:
        with self.turn:
            self.count += 1
            killing = self.count == self.at
            if self.at and (self.count > self.at or (killing and not self.after)):
                os.kill(self.client, signal.SIGKILL)
                return Page(b"", 503, etag=None)
            page = super().taken(method, path, headers, body)
            if killing:
                os.kill(self.client, signal.SIGKILL)
            return page


def shipment(folder: Path, version: str, letter: bytes) -> Shipment:
    """A card, a small file and two large ones, one of them the same in every version."""
    contents = {
        "README.md": CARD + letter,
        "config.json": b"{}",
        "a.safetensors": letter * 9000,
        "b.onnx": b"\0" * 9000,
    }
    files = {name: folder / version / name for name in contents}
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[name])
    return Shipment("tickets", version, f"digest-of-{version}" * 2, files, "better by 0.02")


def holds(hub: HubWithAccounts, one: Shipment) -> bool:
    repository = hub.repositories["model", REPO]
    files = repository.revisions[repository.refs["main"]]
    return all(files.get(name) == path.read_bytes() for name, path in one.files.items())


def push_and_end(one: Shipment) -> None:
    """Push in a process that was forked, and end it at once: what other tests left to be done at the end of this one
    (threads of Prefect's to be joined) was not forked with it."""
    try:
        push(one, PushConfig(repo=REPO))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [True, False], ids=["new", "there"])
def test_a_push_that_is_killed_at_any_request_is_ended_by_the_same_again(
    first: bool, after: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = shipment(tmp_path, "1", b"a"), shipment(tmp_path, "2", b"b")
    killed = 0
    while True:
        with KillingHub() as hub:
            hub.accounts[TOKEN] = Account("anna", ("acme",))
            hub.become_the_hub(monkeypatch, cache=tmp_path / "hub-cache")
            monkeypatch.setenv("HF_TOKEN", TOKEN)
            if not first:
                push(old, PushConfig(repo=REPO))
            before, hub.count, hub.at, hub.after = len(hub.commits), 0, killed + 1, after
            with hub.turn:  # nothing is answered before it is known whom to kill
                child = multiprocessing.get_context("fork").Process(target=push_and_end, args=(new,))
                child.start()
                hub.client = int(child.pid or 0)
            child.join(patience(60))
            hub.at = 0
            if child.exitcode == 0:
                break
            assert child.exitcode == -signal.SIGKILL
            if not first:  # never a mixture of both
                assert holds(hub, old) or holds(hub, new)
            push(new, PushConfig(repo=REPO))
            assert holds(hub, new) and len(hub.commits) == before + 1
        killed += 1
    assert killed >= (5 if first else 4)
