"""A Prefect server that is configured and does not answer is one sentence before a run begins."""

from __future__ import annotations

import pytest
from misbehaving_server import MisbehavingServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.embedded_prefect import wait_for_embedded_server
from tasks.errors import PreconditionError


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


def test_any_answer_is_left_to_prefect(http_server: MisbehavingServer) -> None:
    address = http_server.serve("/elsewhere", b"")
    with temporary_settings({PREFECT_API_URL: address.removesuffix("/elsewhere")}):
        wait_for_embedded_server()
