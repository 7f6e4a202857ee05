"""A password for a data server comes from ~/.netrc, reaches that server alone, and is in no message."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from misbehaving_server import MisbehavingServer

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.reading.download import fetch_url


def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "netrc"
    path.write_text(text)
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


def test_the_server_gets_its_own_password(
    http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc(tmp_path, monkeypatch, "machine 127.0.0.1 login team password PLANTED\n")
    fetch_url(http_server.serve("/w", b"x"), tmp_path)
    expected = "Basic " + base64.b64encode(b"team:PLANTED").decode()
    assert http_server.seen[0].headers["authorization"] == expected


def test_another_server_gets_none(
    http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc(tmp_path, monkeypatch, "machine data.example login team password PLANTED\n")
    fetch_url(http_server.serve("/w", b"x"), tmp_path)
    assert "authorization" not in http_server.seen[0].headers


def test_a_broken_netrc_is_one_sentence_without_its_content(
    http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc(tmp_path, monkeypatch, "machin 127.0.0.1 password PLANTED\n")
    with pytest.raises(PreconditionError, match=r"netrc cannot be read \(NetrcParseError\): mend it") as caught:
        fetch_url(http_server.serve("/w", b"x"), tmp_path)
    assert "PLANTED" not in str(caught.value)
