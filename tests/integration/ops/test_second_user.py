"""Another user of the same machine, against servers as `stsflow up` starts them: a real process of the user nobody."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from live_services import Up
from patience import patience

from stsflow.flows.ops.services import supervisor

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="only root can start a process of another user: run these tests as root, in a container for one",
)

# It becomes that user for good before it does anything: the interpreter may lie where only root may start it.
TRY = """
import encodings.idna, json, os, sys, urllib.error, urllib.request

wanted = json.load(sys.stdin)
os.setgroups([])
os.setgid(wanted["gid"])
os.setuid(wanted["uid"])

def ask(address, body):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120).status
    except urllib.error.HTTPError as error:
        return error.code

def read(path):
    try:
        with open(path, "rb") as file:
            return f"{len(file.read())} bytes"
    except OSError as error:
        return type(error).__name__

print(json.dumps({
    "asked": [ask(*each) for each in wanted["ask"]],
    "read": {path: read(path) for path in wanted["read"]},
}))
"""


def as_nobody(**wanted: Any) -> dict[str, Any]:
    """What another user gets: a status for each address asked, and what came of reading each file."""
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", TRY], capture_output=True, text=True, cwd="/", env={}, timeout=patience(120),
        input=json.dumps(wanted | {"uid": nobody.pw_uid, "gid": nobody.pw_gid}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_another_user_reads_and_changes_nothing_through_the_servers(servers: Up) -> None:
    prefect, mlflow = servers.services.prefect_api_url, f"{servers.services.mlflow_url}/api/2.0/mlflow"
    health = [[url, None] for url in servers.services.health_urls.values()]
    doors = [
        [f"{prefect}/deployments/", {"name": "mine", "flow_id": "00000000-0000-0000-0000-000000000000"}],
        [f"{prefect}/flows/", {"name": "mine"}],
        [f"{prefect}/flow_runs/filter", {}],
        [f"{prefect}/work_pools/", {"name": "mine", "type": "process"}],
        [f"{prefect}/admin/settings", None],
        [f"{mlflow}/experiments/create", {"name": "mine"}],
        [f"{mlflow}/runs/search", {"experiment_ids": ["0"]}],
        [f"{servers.services.mlflow_url}/get-artifact?path=x&run_uuid=x", None],
        [f"{servers.services.mlflow_url}/graphql", {"query": "{ __typename }"}],
        [f"{servers.services.mlflow_url}/", None],
    ]
    answers = as_nobody(ask=health + doors, read=[])["asked"]
    assert answers[: len(health)] == [200] * len(health)  # it does reach them
    assert answers[len(health) :] == [401] * len(doors)
    flows = httpx.post(f"{prefect}/flows/filter", json={}, auth=servers.auth).json()
    assert "mine" not in [flow["name"] for flow in flows]


def test_another_user_reads_no_password_no_database_and_no_environment(servers: Up) -> None:
    workspace = servers.workspace
    manager = psutil.Process(int(supervisor.ask(workspace).getPID()))
    files = [
        servers.services.auth_file, workspace.mlflow_database, workspace.prefect_home / "prefect.db",
        *workspace.services.iterdir(),
        *(Path(f"/proc/{process.pid}/environ") for process in [manager, *manager.children(recursive=True)]),
    ]  # fmt: skip
    assert len(files) > 10
    readable = as_nobody(ask=[], read=[*map(str, files), "/etc/passwd"])["read"]
    assert readable.pop("/etc/passwd").endswith("bytes")  # it does read what is open
    assert set(readable.values()) == {"PermissionError"}


def test_a_websocket_without_the_password_is_closed(servers: Up) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    def first_answer(path: str, token: str) -> str:
        url = f"ws://127.0.0.1:{servers.services.prefect_port}/api/{path}"
        with connect(url, proxy=None, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
            socket.send(json.dumps({"type": "auth", "token": token}))
            try:
                return str(json.loads(socket.recv(timeout=patience(20)))["type"])
            except ConnectionClosed:
                return "closed"

    paths = ["events/in", "events/out", "logs/out"]
    assert [first_answer(path, "") for path in paths] == ["closed"] * 3
    assert [first_answer(path, ":".join(servers.auth)) for path in paths] == ["auth_success"] * 3
