"""A Prefect server that is configured and does not answer is one sentence before a run begins."""

from __future__ import annotations

import pytest
from misbehaving_server import Fault, MisbehavingServer
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from stsflow.flows.ops.embedded_prefect import wait_for_embedded_server
from stsflow.tasks.ground.errors import PreconditionError


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9/api", "Connection refused"),
        ("junk", "begins with http:// or https://"),
        ("ftp://127.0.0.1/api", "begins with http:// or https://"),
        ("http://127.0.0.1:99999/api", "Port out of range"),
        ("http://me:PLANTED@127.0.0.1:9/api", "does not answer"),
    ],
)
def test_a_server_that_does_not_answer_is_refused(address: str, words: str) -> None:
    with temporary_settings({PREFECT_API_URL: address}), pytest.raises(PreconditionError) as caught:
        wait_for_embedded_server()
    assert words in caught.value.message and "PREFECT_API_URL" in caught.value.message
    assert caught.value.exit_code == 2 and "PLANTED" not in caught.value.message


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_lets_nobody_in_without_its_password_is_refused(
    http_server: MisbehavingServer, status: int
) -> None:
    address = http_server.serve("/admin/version", b"", Fault(status=status), Fault(status=status))
    settings = {PREFECT_API_URL: address.removesuffix("/admin/version"), PREFECT_API_AUTH_STRING: "me:PLANTED"}
    with (
        temporary_settings(settings),
        pytest.raises(PreconditionError, match=rf"status {status}.*AUTH_STRING") as caught,
    ):
        wait_for_embedded_server()
    assert "PLANTED" not in caught.value.message
    assert http_server.seen[-1].headers["authorization"] == "Basic bWU6UExBTlRFRA=="  # RFC 7617 by hand


def test_any_other_answer_is_left_to_prefect(http_server: MisbehavingServer) -> None:
    address = http_server.serve("/elsewhere", b"")
    with temporary_settings({PREFECT_API_URL: address.removesuffix("/elsewhere")}):
        wait_for_embedded_server()
