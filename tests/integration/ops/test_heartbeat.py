"""A run whose process vanished together with its worker is called crashed by the server itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live_services import Up
from prefect.client.orchestration import get_client
from prefect_runs import until

from stsflow.flows.ops.deploy import HEARTBEAT_WINDOW_SECONDS, heartbeat_automation, make_automation

SHORT_WINDOW = 40
SLEEP = """
import sys, time
from pathlib import Path
from prefect import flow
from prefect.runtime import flow_run

@flow(name="retrain")
def sleep():
    Path(sys.argv[1]).write_text(str(flow_run.id))
    time.sleep(600)
sleep()
"""


@pytest.mark.slow
def test_a_silent_run_is_called_crashed_within_the_window(client_of: Up, tmp_path: Path) -> None:
    note = tmp_path / "flow-run-id"
    with get_client(sync_client=True) as client:
        make_automation(client, heartbeat_automation(SHORT_WINDOW))
        try:
            beating = dict(os.environ) | client_of.environment | {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
            process = subprocess.Popen([sys.executable, "-c", SLEEP, str(note)], env=beating, start_new_session=True)
            until(lambda: note.exists() and note.read_text(), 60)
            run = note.read_text()
            until(lambda: client.read_flow_run(run).state.is_running())  # type: ignore[arg-type,union-attr]
            time.sleep(SHORT_WINDOW + 10)  # alive for longer than the window: beats keep it running
            assert client.read_flow_run(run).state.is_running()  # type: ignore[arg-type,union-attr]
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            killed = time.monotonic()
            until(lambda: client.read_flow_run(run).state.is_crashed(), SHORT_WINDOW + 60)  # type: ignore[arg-type,union-attr]
            assert time.monotonic() - killed < SHORT_WINDOW + 30
            state = client.read_flow_run(run).state  # type: ignore[arg-type]
            assert state is not None and state.message == f"no heartbeat for {SHORT_WINDOW} s: the process is gone"
        finally:
            make_automation(client, heartbeat_automation(HEARTBEAT_WINDOW_SECONDS))
