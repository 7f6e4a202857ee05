"""The embedded Prefect server, tied to the process that uses it. Run as a module this file is that server.

Prefect starts a server by itself where none is configured: inside the first call of a flow, after importing the whole
server into the caller, and it leaves the server behind when its process is killed. Ours starts before Prefect is
imported, so that the server and the command get ready side by side (seconds on a laptop, for every command). It watches
a pipe, as every child of stsflow does, and has a session of its own: the Ctrl-C that is meant for the run would end it
too, and the run would have nobody to tell that it was cancelled. It asks for a password that lives as long as it does:
every user of the machine can reach loopback, and records are not theirs to read or change.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from stsflow.flows.ops.configured_prefect import names_a_prefect_server, require_configured_server
from stsflow.tasks.ground.child import GUARD_VARIABLE, guard, last_lines, python_module
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.lease import holder_of, lease
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.sqlite import require_usable
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.links import EMBEDDED_PREFECT_VARIABLE

START_SECONDS = 180.0
"""For the first start in a workspace, which makes the database, on a busy laptop."""

START_LOCK = "start.lock"

_server: subprocess.Popen[bytes] | None = None


def start_embedded_server() -> None:
    """Start the server where no Prefect server is configured, and name it to Prefect; returns while it gets ready.

    Call it after `prepare_process` and before anything imports Prefect, which reads its settings once.
    """
    global _server
    if _server is not None or names_a_prefect_server():
        return
    require_usable(_home() / "prefect.db")
    reading, _ = os.pipe()  # the writing end stays open until this process ends, in whatever way
    # Bound here and handed over: no other process can take the port in between, and a call that comes early waits.
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, _log().open("ab") as log:
        handles = (reading, listening.fileno())
        password = f"stsflow:{secrets.token_urlsafe(24)}"
        _server = subprocess.Popen(
            python_module("stsflow.flows.ops.embedded_prefect", str(listening.fileno())),
            env={**os.environ, "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1",
                 "PREFECT__SERVER_FINAL": "1", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
                 "PREFECT_SERVER_API_AUTH_STRING": password, GUARD_VARIABLE: str(reading)},
            pass_fds=handles, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        os.environ["PREFECT_API_AUTH_STRING"] = password
    os.environ[EMBEDDED_PREFECT_VARIABLE] = "1"
    os.close(reading)
    atexit.register(_stop, _server)


def wait_for_embedded_server() -> None:
    """Return when the server that this process started answers; raise PreconditionError when it ended or takes long.

    Where a server is configured none was started: then raise PreconditionError when that one does not answer.
    """
    if _server is None:
        require_configured_server()
        return
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError):
            address = f"{os.environ['PREFECT_API_URL']}/health"
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5):
                return
        if _server.poll() is not None:
            raise PreconditionError(
                f"the embedded Prefect server ended with exit code {_server.returncode} before it answered; "
                f"{_log()} ends:\n{last_lines(_log(), 5)}"
            )
        if holder_of(_home() / START_LOCK) not in (None, _server.pid):
            deadline = time.monotonic() + START_SECONDS  # it waits for another server's start: its own has not begun
        time.sleep(0.05)  # it answers, but not with 200 yet: asking without a pause would take its processor
    raise PreconditionError(
        f"the embedded Prefect server did not answer in {START_SECONDS:.0f} s; {_log()} ends:\n{last_lines(_log(), 5)}"
    )


def _home() -> Path:
    """Where the server keeps its database; `prepare_process` names it."""
    return Path(os.environ.get("PREFECT_HOME") or Workspace.here().prefect_home)


def _log() -> Path:
    return Workspace.here().prefect_home / "embedded-server.log"


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main() -> None:
    """Serve on the socket that the command line names, until the parent ends."""
    # Not the kernel's signal: it comes when the thread ends that started this process, whichever that was.
    guard(kernel_too=False)
    with without_collection():
        import uvicorn
        from prefect.server.api.server import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            # The start makes the tables and registers blocks. Of two that do so at once in a new home, one would end
            # with "table already exists" or find the database locked.
            with lease(_home() / START_LOCK):
                await super().startup(sockets)

    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on")
    Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
