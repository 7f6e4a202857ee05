"""A release that ends on the hub, as its user sees it: the command line, real MLflow, and a hub over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hub_with_accounts import Account, HubWithAccounts
from misbehaving_server import Fault
from prefect_runs import until
from small_recipe import command, environment, result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.fingerprint import HUB_MARK
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

pytestmark = pytest.mark.slow  # three whole runs
TOKEN = "hf_PlantedTokenThatMayWrite0123456789"
WRONG = "hf_PlantedTokenThatIsWrong01234567890"
REPO = "acme/small"
PUSH = "  push: {repo: acme/small}\n"


@dataclass
class Pushed:
    """A run whose push was refused at its last step, and the same command twice more."""

    hub: HubWithAccounts
    place: Path
    broken: CompletedProcess[str]
    champion_then: str
    first: CompletedProcess[str]
    second: CompletedProcess[str]

    def settings(self, token: str = TOKEN) -> dict[str, str]:
        return {**self.hub.environment(self.place / "hub-cache"), "HF_TOKEN": token}

    def call(self, *arguments: str, token: str = TOKEN) -> CompletedProcess[str]:
        return stsflow(self.place / ".stsflow", *arguments, timeout=900.0, **self.settings(token))

    @property
    def repository(self) -> dict[str, bytes]:
        found = self.hub.repositories["model", REPO]
        return found.revisions[found.newest]


def commits_to(hub: HubWithAccounts, repo: str) -> int:
    return len([one for one, *_ in hub.commits if one == repo])


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[Pushed]:
    place = tmp_path_factory.mktemp("push")
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    recipe.write_text(recipe.read_text("utf-8") + PUSH, "utf-8")
    with HubWithAccounts() as hub:
        hub.accounts[TOKEN] = Account("anna", ("acme",))
        hub.break_uploads("/commit/", Fault(status=403))
        done: CompletedProcess[str] = CompletedProcess([], 0, "", "")
        state = Pushed(hub, place, done, "", done, done)
        state.broken = state.call("run", str(recipe), "--json")
        champion = Store(Workspace(place / ".stsflow")).registry.alias("small-model", "champion")
        state.champion_then = str(champion.version) if champion else ""
        state.first = state.call("run", str(recipe), "--json")
        state.second = state.call("run", str(recipe), "--json")
        yield state


def test_a_push_that_is_refused_ends_the_run_with_a_sentence_and_the_model_is_champion(pushed: Pushed) -> None:
    assert pushed.broken.returncode == 1, pushed.broken.stderr
    assert "version 1 of 'small-model' is champion and not on the hub" in pushed.broken.stderr
    assert "stsflow push models:/small-model@champion" in pushed.broken.stderr
    assert "Traceback" not in pushed.broken.stderr
    assert pushed.champion_then == "1"


def test_the_same_command_pushes_what_is_registered(pushed: Pushed) -> None:
    hub = result_of(pushed.first)["hub"]
    assert hub["repo"] == REPO and hub["version"] == "1"
    model = Store(Workspace(pushed.place / ".stsflow")).registry.by_uri("models:/small-model@champion").path
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert {name: body for name, body in pushed.repository.items() if name not in (HUB_MARK, ".gitattributes")} == files
    assert {"README.md", "facts.json", "model.safetensors", "modules.json"} <= files.keys()
    assert pushed.hub.repositories["model", REPO].private


def test_the_second_run_commits_nothing(pushed: Pushed) -> None:
    assert result_of(pushed.second)["hub"]["uploaded"] == []
    assert result_of(pushed.second)["hub"]["commit"] == result_of(pushed.first)["hub"]["commit"]
    assert len(pushed.hub.commits) == 1


def test_run_and_version_lead_to_the_commit(pushed: Pushed) -> None:
    summary = result_of(pushed.first)
    store = Store(Workspace(pushed.place / ".stsflow"))
    for tags in (store.run(summary["mlflow_run_id"]).data.tags, store.registry.version_tags("small-model", "1")):
        assert (
            tags["stsflow.hub.url"]
            == summary["hub"]["url"]
            == f"{pushed.hub.address}/{REPO}/commit/" + (pushed.hub.repositories["model", REPO].newest)
        )
    assert (Path(summary["run_dir"]) / "release" / "hub.json").is_file()


def test_the_hubs_client_accepts_the_card_and_a_copy_verifies(
    pushed: Pushed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import ModelCard, snapshot_download

    pushed.hub.become_the_hub(monkeypatch, tmp_path / "cache")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    copy = Path(snapshot_download(REPO, local_dir=tmp_path / "copy", endpoint=pushed.hub.address))
    card = ModelCard.load(copy / "README.md", ignore_metadata_errors=False)
    card.validate()
    assert card.data.eval_results and card.data.license == "cc-by-sa-4.0"
    assert f'SentenceTransformer("{REPO}")' in str(card)
    checked = pushed.call("verify-card", str(copy), "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_token_that_is_wrong_is_refused_before_anything_is_made(pushed: Pushed) -> None:
    runs = sorted(path.name for path in (pushed.place / ".stsflow" / "runs").iterdir())
    for words in (
        ("run", str(pushed.place / "small.yaml")),
        ("plan", str(pushed.place / "small.yaml"), "--no-probe"),
    ):
        refused = pushed.call(*words, token=WRONG)
        assert refused.returncode == 2, refused.stderr
        assert "the hub does not accept the token; set HF_TOKEN" in refused.stderr
    assert sorted(path.name for path in (pushed.place / ".stsflow" / "runs").iterdir()) == runs


def test_by_hand_a_champion_alone_is_pushed(pushed: Pushed) -> None:
    again = pushed.call("push", "models:/small-model@champion", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["uploaded"] == []
    opened = pushed.call("push", Path(result_of(pushed.first)["run_dir"]).name, "--branch", "staging", "--json")
    assert opened.returncode == 0, opened.stderr
    assert json.loads(opened.stdout.splitlines()[-1])["revision"] == "staging"
    nobody = pushed.call("push", "models:/other@champion", "--repo", "acme/other")
    assert nobody.returncode == 2 and "there is no such alias" in nobody.stderr


@pytest.mark.parametrize(("held", "made"), [("/preupload/", 0), ("/upload/", 0), ("/commit/", 1)])
def test_a_push_that_is_killed_goes_on_with_the_same_command(pushed: Pushed, held: str, made: int) -> None:
    """Killed before anything was sent, after a large file was, and after the commit whose answer it waits for."""
    repo, hub = f"acme/{held.strip('/')}", pushed.hub
    asked, large = ("push", "models:/small-model@champion", "--repo", repo, "--json"), dict(hub.stored)
    hub.stored.clear()
    hub.break_uploads(held, Fault(stall=True))
    seen = len(hub.seen)
    process = subprocess.Popen(
        command(asked), cwd=pushed.place, env=environment(pushed.place / ".stsflow", **pushed.settings()),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: any(held in one.path and one.method in ("POST", "PUT") for one in hub.seen[seen:]), 300)
        until(lambda: held != "/commit/" or commits_to(hub, repo) == 1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert commits_to(hub, repo) == made
    sent = len([one for one in hub.seen if one.method == "PUT"])
    champion = Store(Workspace(pushed.place / ".stsflow")).registry.alias("small-model", "champion")
    assert champion is not None and str(champion.version) == "1"
    again = pushed.call(*asked)
    assert again.returncode == 0, again.stderr
    assert commits_to(hub, repo) == 1
    found = hub.repositories["model", repo]
    assert found.revisions[found.newest] == pushed.repository
    once_more = len([one for one in hub.seen if one.method == "PUT"]) - sent
    assert once_more == (len(large) if held == "/preupload/" else 0)  # what was sent stays there


def test_the_token_is_in_nothing_that_was_written_or_printed(pushed: Pushed) -> None:
    printed = "".join(done.stdout + done.stderr for done in (pushed.broken, pushed.first, pushed.second))
    written = [path for path in pushed.place.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in written)
    for token in (TOKEN, WRONG):
        assert token not in printed
        assert [path for path in written if token.encode() in path.read_bytes()] == []
    assert any(TOKEN in seen.headers.get("authorization", "") for seen in pushed.hub.seen)
