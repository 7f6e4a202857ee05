"""A push to the hub: the real client over HTTP against a stand-in that keeps accounts, commits and large files."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_with_accounts import Account, HubWithAccounts
from misbehaving_server import Fault

from stsflow.tasks.ground import trying_again
from stsflow.tasks.ground.errors import DownloadFailed, PreconditionError
from stsflow.tasks.recipe.sections import PushConfig
from stsflow.tasks.release.hub_repository import MARK, HubRepository
from stsflow.tasks.release.push import push
from stsflow.tasks.release.shipment import Shipment

TOKEN = "hf_PlantedTokenOfAnna0123456789"
REPO = "acme/tickets"
TO = PushConfig(repo=REPO)
CARD = b"---\nlanguage:\n- ko\nlicense: mit\n---\n# Tickets\n"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying_again, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubWithAccounts]:
    with HubWithAccounts() as server:
        server.accounts[TOKEN] = Account("anna", ("acme",))
        server.become_the_hub(monkeypatch, cache=tmp_path / "hub-cache")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def shipment(folder: Path, version: str = "1", **changed: bytes | None) -> Shipment:
    """A small model's files, some of them replaced or (None) left out."""
    contents: dict[str, bytes | None] = {
        "README.md": CARD, "config.json": b"{}", "model.safetensors": b"\x00weights" * 1000,
        "1_Pooling/config.json": b'{"pooling_mode": "mean"}', "figures/curve.png": b"\x89PNG",
    } | changed  # fmt: skip
    files = {}
    for name, content in contents.items():
        if content is not None:
            files[name] = folder / version / name
            files[name].parent.mkdir(parents=True, exist_ok=True)
            files[name].write_bytes(content)
    return Shipment("tickets", version, f"digest-of-{version}" * 2, files, "better by 0.02")


def held(hub: HubWithAccounts, ref: str = "main") -> dict[str, bytes]:
    """Files of the repository, the hub's own and the mark left out."""
    repository = hub.repositories["model", REPO]
    files = repository.revisions[repository.refs[ref]]
    return {name: body for name, body in files.items() if name not in (".gitattributes", MARK)}


def contents(one: Shipment) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in one.files.items()}


def test_the_first_push_makes_a_private_repository_with_one_commit(hub: HubWithAccounts, tmp_path: Path) -> None:
    first = shipment(tmp_path)
    pushed = push(first, TO)
    assert hub.repositories["model", REPO].private
    assert held(hub) == contents(first)
    assert [(repo, ref) for repo, ref, _ in hub.commits] == [(REPO, "main")]
    assert pushed.commit == hub.repositories["model", REPO].newest
    assert pushed.url == f"{hub.address}/{REPO}/commit/{pushed.commit}"
    assert sorted(pushed.uploaded) == sorted([*first.files, MARK]) and pushed.unchanged == 0


def test_a_push_with_nothing_changed_commits_and_uploads_nothing(hub: HubWithAccounts, tmp_path: Path) -> None:
    before = push(shipment(tmp_path), TO)
    sent = [one for one in hub.seen if one.method in ("POST", "PUT")]
    again = push(shipment(tmp_path), TO)
    assert [one for one in hub.seen if one.method in ("POST", "PUT")] == sent
    assert (again.commit, again.uploaded, again.unchanged) == (before.commit, (), 6)
    assert "nothing was committed" in again.sentence


def test_only_what_changed_is_sent_and_what_is_gone_is_removed(hub: HubWithAccounts, tmp_path: Path) -> None:
    push(shipment(tmp_path), TO)
    hub.repositories["model", REPO].add(REPO, {**hub.repositories["model", REPO].revisions[
        hub.repositories["model", REPO].newest], "notes.md": b"of a person"})  # fmt: skip
    second = shipment(tmp_path, "2", **{"README.md": CARD + b"new\n", "figures/curve.png": None})
    puts = len([one for one in hub.seen if one.method == "PUT"])
    pushed = push(second, TO)
    assert hub.commits[-1][2] == ["README.md", MARK, "-figures/curve.png"]
    assert len([one for one in hub.seen if one.method == "PUT"]) == puts
    assert held(hub) == {**contents(second), "notes.md": b"of a person"}
    assert pushed.removed == ("figures/curve.png",)


def test_an_upload_that_broke_goes_on_with_what_is_missing(hub: HubWithAccounts, tmp_path: Path) -> None:
    one = shipment(tmp_path)
    hub.break_uploads(r"/commit/", *[Fault(reset=True)] * 6)
    with pytest.raises(DownloadFailed, match=r"pushing tickets version 1 to acme/tickets: gave up after 6 tries"):
        push(one, TO)
    assert held(hub) == {} and len(hub.stored) == 2
    puts = len([seen for seen in hub.seen if seen.method == "PUT"])
    push(one, TO)
    assert held(hub) == contents(one)
    assert len([seen for seen in hub.seen if seen.method == "PUT"]) == puts == 2


@pytest.mark.parametrize(
    "what, fault",
    [("/upload/", Fault(stop_after=100)), ("/commit/", Fault(reset=True)), ("/commit/", Fault(lost=True)),
     ("/repos/create", Fault(lost=True)), ("/preupload/", Fault(status=503)), ("/objects/batch", Fault(reset=True))],
)  # fmt: skip
def test_a_connection_that_breaks_once_is_made_up_for_with_one_commit(
    hub: HubWithAccounts, tmp_path: Path, what: str, fault: Fault
) -> None:
    one = shipment(tmp_path)
    hub.break_uploads(what, fault)
    push(one, TO)
    assert held(hub) == contents(one)
    assert len(hub.commits) == 1


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(hub: HubWithAccounts, tmp_path: Path) -> None:
    push(shipment(tmp_path), TO)
    hub.break_uploads("/commit/", Fault(status=412))
    second = shipment(tmp_path, "2", **{"config.json": b'{"a": 1}'})
    push(second, TO)
    assert held(hub) == contents(second) and len(hub.commits) == 2


@pytest.mark.parametrize(
    "there, said",
    [({"README.md": b"# of somebody\n"}, "was not made by stsflow"),
     ({MARK: json.dumps({"registered_as": "other"}).encode()}, "holds the registered model 'other'"),
     ({MARK: b"[1]", "a": b"b"}, "was not made by stsflow")],
)  # fmt: skip
def test_a_name_that_is_taken_is_refused_and_nothing_is_touched(
    hub: HubWithAccounts, tmp_path: Path, there: dict[str, bytes], said: str
) -> None:
    hub.add("model", REPO, there)
    hub.repositories["model", REPO].private = True
    with pytest.raises(PreconditionError, match=f"the name {REPO} is taken: .*/{REPO} {said}.*Choose another name"):
        push(shipment(tmp_path), TO)
    with pytest.raises(PreconditionError, match="is taken"):
        HubRepository(TO, "tickets").require_access()
    assert hub.commits == [] and not hub.stored


def test_a_name_taken_by_what_the_token_may_not_see_is_refused(hub: HubWithAccounts, tmp_path: Path) -> None:
    hub.add("model", REPO, {"README.md": b"secret"})
    hub.repositories["model", REPO].private = True
    hub.may_see = lambda *_: False  # type: ignore[method-assign]
    with pytest.raises(PreconditionError, match=f"the name {REPO} is taken on the hub by a repository that"):
        push(shipment(tmp_path), TO)


def test_a_repository_that_says_it_may_be_replaced_is_taken_over(hub: HubWithAccounts, tmp_path: Path) -> None:
    hub.add("model", REPO, {"README.md": b"# by hand\n", MARK: b'{"registered_as": "tickets", "later": 1}'})
    hub.repositories["model", REPO].private = True
    one = shipment(tmp_path)
    push(one, TO)
    assert held(hub) == contents(one)


def test_a_public_repository_is_refused_unless_the_recipe_says_so(hub: HubWithAccounts, tmp_path: Path) -> None:
    hub.add("model", REPO, {".gitattributes": b""})
    with pytest.raises(PreconditionError, match=r"is public, and release.push.private is true"):
        push(shipment(tmp_path), TO)
    push(shipment(tmp_path), PushConfig(repo=REPO, private=False))
    assert len(hub.commits) == 1


def test_a_branch_is_made_once_and_main_stays(hub: HubWithAccounts, tmp_path: Path) -> None:
    to = PushConfig(repo=REPO, branch="staging")
    one = shipment(tmp_path)
    assert push(one, to).revision == "staging"
    assert held(hub) == {} and held(hub, "staging") == contents(one)
    assert push(one, to).uploaded == () and len(hub.commits) == 1


def test_a_branch_is_made_where_main_holds_the_release_already(hub: HubWithAccounts, tmp_path: Path) -> None:
    one = shipment(tmp_path)
    push(one, TO)
    push(one, PushConfig(repo=REPO, branch="staging"))
    assert held(hub, "staging") == contents(one) and len(hub.commits) == 1


def test_a_pull_request_is_opened_once_and_nothing_else_changes(hub: HubWithAccounts, tmp_path: Path) -> None:
    to = PushConfig(repo=REPO, pull_request=True)
    one = shipment(tmp_path)
    hub.break_uploads("/commit/", Fault(lost=True))
    pushed = push(one, to)
    assert pushed.pull_request == f"{hub.address}/{REPO}/discussions/1" and pushed.revision == "refs/pr/1"
    assert held(hub) == {} and held(hub, "refs/pr/1") == contents(one)
    assert push(one, to).pull_request == pushed.pull_request
    assert hub.repositories["model", REPO].pull_requests == {1: one.title} and len(hub.commits) == 1


def test_a_pull_request_needs_no_right_to_write(hub: HubWithAccounts, tmp_path: Path) -> None:
    hub.add("model", REPO, {".gitattributes": b""})
    hub.accounts[TOKEN] = Account("ben")
    to = PushConfig(repo=REPO, pull_request=True, private=False)
    assert HubRepository(to, "tickets").require_access() == "ben"
    assert push(shipment(tmp_path), to).pull_request


def test_a_card_that_the_hub_refuses_is_named_before_anything_is_uploaded(hub: HubWithAccounts, tmp_path: Path) -> None:
    bad = shipment(tmp_path, **{"README.md": b"---\nbase_model: my own model\n---\n"})
    with pytest.raises(PreconditionError, match=r'refuses the card: .*"base_model\[0\]" with value "my own model"'):
        push(bad, TO)
    assert not hub.stored


def test_a_file_that_a_gitignore_leaves_out_is_not_lost_in_silence(hub: HubWithAccounts, tmp_path: Path) -> None:
    hub.add("model", REPO, {".gitignore": b"config.json\n", MARK: b'{"registered_as": "tickets"}'})
    hub.repositories["model", REPO].private = True
    with pytest.raises(PreconditionError, match=r"was sent config.json and does not hold it: a .gitignore"):
        push(shipment(tmp_path), TO)


@pytest.mark.parametrize(
    "token, account, said",
    [(None, None, "there is no token for the hub; set HF_TOKEN"),
     ("hf_WrongTokenThatNobodyGave0123", None, "the hub does not accept the token; set HF_TOKEN"),
     (TOKEN, Account("anna", ("acme",), role="read"), "the token of anna for the hub may only read"),
     (TOKEN, Account("eve", ("others",)), "belongs to acme; the token is of eve, a member of others alone")],
)  # fmt: skip
def test_a_token_that_will_not_do_is_refused_before_work_begins(
    hub: HubWithAccounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, token: str | None,
    account: Account | None, said: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    if account is not None:
        hub.accounts[TOKEN] = account
    with pytest.raises(PreconditionError, match=said) as caught:
        HubRepository(TO, "tickets").require_access()
    assert token is None or token not in "".join(traceback.format_exception(caught.value)) + caplog.text
    assert caught.value.exit_code == 2


def test_a_member_who_may_only_read_is_refused_where_the_repository_is_there(hub: HubWithAccounts) -> None:
    hub.add("model", REPO, {".gitattributes": b""})
    hub.repositories["model", REPO].private = True
    hub.may_write = lambda *_: False  # type: ignore[method-assign]
    with pytest.raises(PreconditionError, match=r"the token may not do that \(no write access"):
        HubRepository(TO, "tickets").require_access()


def test_the_environment_that_forbids_the_network_is_named(
    hub: HubWithAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PreconditionError, match="HF_HUB_OFFLINE is set"):
        HubRepository(TO, "tickets").require_access()
    assert hub.seen == []


@pytest.mark.usefixtures("hub")
def test_a_server_that_repeats_the_token_does_not_get_it_into_a_message(tmp_path: Path) -> None:
    bad = shipment(tmp_path, **{"README.md": f"---\nbase_model: 'x {TOKEN}'\n---\n".encode()})
    with pytest.raises(PreconditionError, match=r"refuses the card.*x \*\*\*") as caught:
        push(bad, TO)
    assert TOKEN not in str(caught.value)
