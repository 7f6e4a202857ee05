"""The Prefect server of a run by hand is for that run alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from patience import patience
from small_recipe import CHECKOUT, environment

ASK = """
import json, os
from stsflow.flows.command.terminal import prepare_process
from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
prepare_process()
start_embedded_server()
wait_for_embedded_server()
import httpx
own = tuple(os.environ["PREFECT_API_AUTH_STRING"].split(":"))
def ask(auth):
    calls = [("POST", "/flows/", {"name": "x"}), ("POST", "/flow_runs/filter", {}), ("GET", "/admin/settings", None)]
    return [
        httpx.request(method, os.environ["PREFECT_API_URL"] + path, json=body, auth=auth).status_code
        for method, path, body in calls
    ]
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    client.api_version()
print(json.dumps({"stranger": ask(None), "wrong": ask(("stsflow", "guess")), "own": ask(own), "length": len(own[1])}))
"""


def test_the_embedded_server_answers_its_own_run_alone(tmp_path: Path) -> None:
    variables = environment(tmp_path / "workspace", PYTHONPATH=str(CHECKOUT))
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=patience(200)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"stranger": [401] * 3, "wrong": [401] * 3, "own": [201, 200, 200], "length": 32}
