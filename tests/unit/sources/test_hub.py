"""The hub helper against a stand-in hub: the real client, its cache, and the ways a hub fails."""

from __future__ import annotations

import pytest
from hub_stand_in import HubStandIn
from misbehaving_server import Fault

from stsflow.tasks.ground import trying_again
from stsflow.tasks.ground.errors import DataError, DownloadFailed, ModelError, PreconditionError
from stsflow.tasks.ground.hub import fetch_snapshot

FILES = {"README.md": b"# words\n", "data/train.csv": b"a,b\n1,2\n" * 5000}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying_again, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def commit(hub_server: HubStandIn) -> str:
    return hub_server.add("dataset", "team/words", FILES)


def test_files_arrive_whole_and_are_fetched_once(hub_server: HubStandIn, commit: str) -> None:
    folder = fetch_snapshot("team/words", commit, "dataset")
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    asked = len(hub_server.seen)
    assert fetch_snapshot("team/words", commit, "dataset") == folder
    assert len(hub_server.seen) == asked


def test_patterns_limit_the_files(hub_server: HubStandIn, commit: str) -> None:
    folder = fetch_snapshot("team/words", commit, "dataset", allow_patterns=["data/*"])
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["train.csv"]
    assert hub_server.count(f"/datasets/team/words/resolve/{commit}/README.md") == 0


def test_an_older_commit_is_not_the_newest(hub_server: HubStandIn, commit: str) -> None:
    newer = hub_server.add("dataset", "team/words", {"README.md": b"# other\n"})
    assert newer != commit
    assert (fetch_snapshot("team/words", commit, "dataset") / "README.md").read_bytes() == b"# words\n"


@pytest.mark.parametrize(
    "faults",
    [[Fault(status=503)] * 2, [Fault(status=429, retry_after="0")], [Fault(stop_after=100)], [Fault(reset=True)]],
)
def test_a_failure_that_passes_is_tried_again(hub_server: HubStandIn, commit: str, faults: list[Fault]) -> None:
    hub_server.misbehave("dataset", "team/words", "data/train.csv", *faults)
    folder = fetch_snapshot("team/words", commit, "dataset", retries=5)
    assert (folder / "data/train.csv").read_bytes() == FILES["data/train.csv"]


def test_gives_up_with_one_sentence(hub_server: HubStandIn, commit: str) -> None:
    hub_server.misbehave("dataset", "team/words", "data/train.csv", *[Fault(status=503)] * 50)
    with pytest.raises(DownloadFailed, match=rf"hub data set team/words at {commit}: gave up after 2 tries.*HTTP 503"):
        fetch_snapshot("team/words", commit, "dataset", retries=1)


def test_missing_repository_and_missing_revision(commit: str) -> None:
    with pytest.raises(DataError, match=r"hub data set team/none at .* does not exist or is private"):
        fetch_snapshot("team/none", commit, "dataset")
    with pytest.raises(DataError, match=r"team/words at 0{40}: the repository exists but has no such revision"):
        fetch_snapshot("team/words", "0" * 40, "dataset")
    with pytest.raises(ModelError, match=r"hub model team/words at"):
        fetch_snapshot("team/words", commit, "model")


@pytest.mark.parametrize("token", [None, "hf_PLANTEDSECRET"])
def test_gated_repository_says_what_to_do_and_keeps_the_token(
    hub_server: HubStandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, token: str | None
) -> None:
    commit = hub_server.add("model", "team/closed", FILES, gated=True)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ModelError, match=r"is gated: accept its terms at .*/team/closed and set HF_TOKEN") as caught:
        fetch_snapshot("team/closed", commit, "model")
    assert any("authorization" in seen.headers for seen in hub_server.seen) is bool(token)
    assert "PLANTEDSECRET" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_server_gone(hub_server: HubStandIn, commit: str) -> None:
    folder = fetch_snapshot("team/words", commit, "dataset")
    hub_server.close()
    assert fetch_snapshot("team/words", commit, "dataset") == folder
    with pytest.raises(
        DownloadFailed, match=r"gave up after 2 tries.*(ConnectError|RemoteProtocolError) from http:.*Check the network"
    ):
        fetch_snapshot("team/other", commit, "dataset", retries=1)


def test_offline_mode(hub_server: HubStandIn, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PreconditionError, match=r"HF_HUB_OFFLINE is set: unset it, or .*hf download team/words"):
        fetch_snapshot("team/words", commit, "dataset")
    assert hub_server.seen == []
