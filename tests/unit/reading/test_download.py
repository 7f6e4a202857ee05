"""Downloads against a server that misbehaves in each of the known ways."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from misbehaving_server import Fault, MisbehavingServer
from patience import patience

from stsflow.tasks.ground import trying_again
from stsflow.tasks.ground.errors import DataError, DownloadFailed, StsflowError
from stsflow.tasks.reading.download import fetch_url, remote_state

CHECKOUT = Path(__file__).resolve().parents[3]
CONTENT = bytes(range(256)) * 12_000  # about 3 MB: more than one block
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying_again, "FIRST_PAUSE_SECONDS", 0.01)


def finished(folder: Path) -> list[Path]:
    return [path for path in (folder / "content").rglob("*") if path.is_file()]


def test_fetched_once_when_the_hash_is_known(http_server: MisbehavingServer, tmp_path: Path) -> None:
    url = http_server.serve("/words.tsv", CONTENT)
    path = fetch_url(url, tmp_path, sha256=SHA256)
    assert path.name == "words.tsv" and path.read_bytes() == CONTENT
    assert fetch_url(url, tmp_path, sha256=SHA256) == path
    assert http_server.count("/words.tsv") == 1


def test_git_blob_id_as_git_computes_it(http_server: MisbehavingServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    blob = subprocess.run(
        ["git", "hash-object", "--no-filters", tmp_path / "file"], capture_output=True, text=True, check=True
    ).stdout.strip()
    url = http_server.serve("/words.tsv", CONTENT)
    assert fetch_url(url, tmp_path / "d", git_blob=blob).read_bytes() == CONTENT


def test_without_a_hash_the_server_is_asked_and_a_change_is_seen(
    http_server: MisbehavingServer, tmp_path: Path
) -> None:
    url = http_server.serve("/words.tsv", CONTENT, etag='"one"')
    first = fetch_url(url, tmp_path)
    assert remote_state(url) == '"one"'
    http_server.serve("/words.tsv", b"new", etag='"two"')
    assert remote_state(url) == '"two"'
    second = fetch_url(url, tmp_path)
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, b"new")
    assert http_server.seen[-1].headers["if-none-match"] == '"one"'


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(status=429, retry_after="0")],
        [Fault(status=500), Fault(status=502), Fault(status=503)],
        [Fault(reset=True)],
        [Fault(stall=True)],
        [Fault(stop_after=0)],
    ],
    ids=["429", "5xx", "reset", "stalled", "nothing arrives"],
)
def test_what_passes_is_tried_again(http_server: MisbehavingServer, tmp_path: Path, faults: list[Fault]) -> None:
    url = http_server.serve("/words.tsv", CONTENT, *faults)
    assert fetch_url(url, tmp_path, timeout_seconds=0.3).read_bytes() == CONTENT
    assert http_server.count("/words.tsv") == len(faults) + 1


def test_retry_after_is_obeyed(http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    url = http_server.serve("/w", b"x", Fault(status=503, retry_after="17"))
    fetch_url(url, tmp_path)
    assert pauses == [17.0]


def test_truncated_download_goes_on_where_it_stopped(http_server: MisbehavingServer, tmp_path: Path) -> None:
    url = http_server.serve("/words.tsv", CONTENT, Fault(stop_after=2_000_000), Fault(stop_after=500_000))
    assert fetch_url(url, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    ranges = [seen.headers.get("range") for seen in http_server.seen]
    starts = [int(value.removeprefix("bytes=").rstrip("-")) for value in ranges[1:] if value]
    assert ranges[0] is None and len(starts) == 2 and 0 < starts[0] < starts[1] < len(CONTENT)


def test_interrupted_process_leaves_a_part_that_the_next_one_resumes(
    http_server: MisbehavingServer, tmp_path: Path
) -> None:
    url = http_server.serve("/words.tsv", CONTENT, Fault(stop_after=2_000_000))
    with pytest.raises(DownloadFailed):
        fetch_url(url, tmp_path, retries=0)
    assert finished(tmp_path) == []
    assert fetch_url(url, tmp_path).read_bytes() == CONTENT
    assert "range" in http_server.seen[-1].headers


def test_a_file_that_changed_meanwhile_starts_over(http_server: MisbehavingServer, tmp_path: Path) -> None:
    url = http_server.serve("/words.tsv", CONTENT, Fault(stop_after=2_000_000), etag='"one"')
    with pytest.raises(DownloadFailed):
        fetch_url(url, tmp_path, retries=0)
    changed = CONTENT[::-1]
    http_server.serve("/words.tsv", changed, etag='"two"')
    assert fetch_url(url, tmp_path).read_bytes() == changed


def test_a_server_without_ranges_or_tags_starts_over(http_server: MisbehavingServer, tmp_path: Path) -> None:
    first = http_server.serve("/a", CONTENT, Fault(stop_after=2_000_000), Fault(ignore_range=True))
    second = http_server.serve("/b", CONTENT, Fault(stop_after=2_000_000), etag=None)
    assert fetch_url(first, tmp_path).read_bytes() == CONTENT
    assert fetch_url(second, tmp_path).read_bytes() == CONTENT


def test_resumed_file_with_a_wrong_hash_starts_over(http_server: MisbehavingServer, tmp_path: Path) -> None:
    wrong = b"x" * len(CONTENT)
    url = http_server.serve("/w", CONTENT, Fault(stop_after=2_000_000, content=wrong), etag='"same"')
    assert fetch_url(url, tmp_path, sha256=SHA256).read_bytes() == CONTENT


def test_wrong_hash_is_refused_and_nothing_is_kept(http_server: MisbehavingServer, tmp_path: Path) -> None:
    url = http_server.serve("/words.tsv", b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(DataError, match=rf"/words.tsv: the SHA-256 is {found} \(5 bytes\), expected {SHA256}\."):
        fetch_url(url, tmp_path, sha256=SHA256)
    assert finished(tmp_path) == []
    assert list((tmp_path / "partial").iterdir()) == []


@pytest.mark.parametrize(("status", "words"), [(404, "there is no file to fetch"), (403, "access is refused")])
def test_what_does_not_pass_is_refused_at_once(
    http_server: MisbehavingServer, tmp_path: Path, status: int, words: str
) -> None:
    url = http_server.serve("/words.tsv", CONTENT, *[Fault(status=status)] * 9)
    with pytest.raises(DataError, match=rf"/words.tsv: {words} \(HTTP {status}\)"):
        fetch_url(url, tmp_path)
    assert http_server.count("/words.tsv") == 1


def test_offline_is_one_sentence(http_server: MisbehavingServer, tmp_path: Path) -> None:
    url = http_server.serve("/words.tsv", CONTENT)
    http_server.close()
    with pytest.raises(
        DownloadFailed, match=r"words.tsv: gave up after 3 tries.*no connection.*Check the network"
    ) as e:
        fetch_url(url, tmp_path, retries=2)
    assert "\n" not in e.value.message
    assert finished(tmp_path) == []


def test_secrets_of_an_address_are_sent_but_not_shown(
    http_server: MisbehavingServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    bare = http_server.serve("/w?signature=PLANTEDQUERY", b"x", Fault(status=500), Fault(status=500))
    url = bare.replace("http://", "http://user:PLANTEDPASSWORD@")
    with pytest.raises(StsflowError) as caught:
        fetch_url(url, tmp_path, retries=1)
    assert http_server.seen[0].headers["authorization"].startswith("Basic ")
    fetch_url(url, tmp_path)
    kept = "".join(path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file())
    shown = str(caught.value) + kept + "".join(record.getMessage() for record in caplog.records if record.levelno > 10)
    assert "PLANTED" not in shown


def test_proxy_of_the_environment_is_used(
    http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, http_server.address)
    http_server.serve("http://data.example/words.tsv", b"through the proxy")
    assert fetch_url("http://data.example/words.tsv", tmp_path).read_bytes() == b"through the proxy"


def test_three_processes_fetch_once(http_server: MisbehavingServer, tmp_path: Path) -> None:
    url = http_server.serve("/words.tsv", CONTENT)
    code = (
        "import sys, pathlib; from stsflow.tasks.reading.download import fetch_url;"
        "fetch_url(sys.argv[1], pathlib.Path(sys.argv[2]), sha256=sys.argv[3])"
    )
    command = [sys.executable, "-c", code, url, str(tmp_path), SHA256]
    workers = [subprocess.Popen(command, cwd=CHECKOUT) for _ in range(3)]
    assert [worker.wait(patience(60)) for worker in workers] == [0, 0, 0]
    assert http_server.count("/words.tsv") == 1


def test_a_file_that_the_server_packs_on_its_way_becomes_no_larger_than_its_limit(
    http_server: MisbehavingServer, tmp_path: Path
) -> None:
    content = gzip.compress(b"x" * 2_000_000)
    url = http_server.serve("/a.tsv", content, Content_Encoding="gzip")
    with pytest.raises(
        DataError, match=r"/a\.tsv: the server packs the file on its way, and unpacked it is larger than"
    ):
        fetch_url(url, tmp_path, max_unpacked_bytes=1_000_000)
    assert list((tmp_path / "partial").iterdir()) == []
    assert fetch_url(url, tmp_path).read_bytes() == b"x" * 2_000_000
