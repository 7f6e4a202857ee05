"""The training slot, against a Prefect API that answers as a server on a busy SQLite file does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.training.task import training_slot

LIMIT = {
    "id": str(uuid4()), "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z", "active": True,
    "name": "gpu", "limit": 1, "active_slots": 0, "slot_decay_per_second": 0.0,
}  # fmt: skip
LEASE = str(uuid4())


class BusyPrefect(ThreadingHTTPServer):
    """The three calls that a slot needs; the first `refusals` requests for a slot are answered with 503."""

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.refusals = refusals
        self.calls: list[str] = []
        Thread(target=self.serve_forever, daemon=True).start()


class _Answers(BaseHTTPRequestHandler):
    server: BusyPrefect

    def do_GET(self) -> None:
        if "csrf-token" in self.path:
            return self._say(404, {})  # as a server without that protection, which is Prefect's default
        return self._say(200, LIMIT)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        call = self.path.rpartition("/")[2]
        self.server.calls.append(call)
        if call == "increment-with-lease" and self.server.calls.count(call) <= self.server.refusals:
            return self._say(503, {"exception_message": "Service Unavailable"})
        if call == "increment-with-lease":
            return self._say(200, {"lease_id": LEASE, "limits": [LIMIT]})
        return self._say(204, None)

    def _say(self, status: int, body: object) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy_prefect() -> Iterator[BusyPrefect]:
    server = BusyPrefect(refusals=2)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
        yield server
    server.shutdown()
    server.server_close()


def test_a_server_that_is_busy_is_asked_again(busy_prefect: BusyPrefect, workspace: Workspace) -> None:
    with training_slot("gpu", workspace, ""):
        assert busy_prefect.calls == ["increment-with-lease"] * 3
    assert busy_prefect.calls[-1] == "decrement-with-lease"
