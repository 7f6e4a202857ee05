"""`up` and `down` on real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest
from live_services import Up, free_port, start
from patience import patience

from stsflow.flows.ops.services import connect, down, running_environment, status, supervisor, up
from stsflow.flows.ops.services.passwords import own_password_file
from stsflow.flows.ops.services.settings import mark_path
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace

ODD_HOST = "127.0.0.2"


def family(running: Up) -> list[psutil.Process]:
    manager = psutil.Process(int(supervisor.ask(running.workspace).getPID()))
    return [manager, *manager.children(recursive=True)]


def test_both_servers_answer_and_the_worker_is_online(servers: Up) -> None:
    assert [httpx.get(url).status_code for url in servers.services.health_urls.values()] == [200, 200]
    url = f"{servers.services.prefect_api_url}/work_pools/cpu/workers/filter"
    workers = httpx.post(url, json={}, auth=servers.auth).json()
    assert [(worker["name"], worker["status"]) for worker in workers] == [("stsflow-cpu", "ONLINE")]


def test_up_twice_is_harmless(servers: Up) -> None:
    before = {process.pid for process in family(servers)}
    ports = {"prefect_port": servers.services.prefect_port, "mlflow_port": servers.services.mlflow_port}
    assert up(servers.workspace, **ports).already
    assert up(servers.workspace).already  # ports not given: those that run are fine
    assert {process.pid for process in family(servers)} == before


def test_up_with_other_settings_says_what_runs(servers: Up) -> None:
    with pytest.raises(PreconditionError, match=r"up already with worker_limit 4 and not 9; run `stsflow down` first"):
        up(servers.workspace, worker_limit=9)


def test_status_and_environment_tell_where_the_servers_are(servers: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    report = status(servers.workspace)
    assert report.ready and set(report.states.values()) == {"RUNNING"}
    assert running_environment(servers.workspace) == servers.environment
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert connect(servers.workspace)
    assert os.environ["PREFECT_API_URL"] == "http://elsewhere/api"  # what the person has set wins
    assert "PREFECT_API_AUTH_STRING" not in os.environ  # and is not told our password
    assert os.environ["MLFLOW_TRACKING_URI"] == servers.services.mlflow_url
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == servers.auth


def test_the_password_goes_to_its_own_servers_alone(servers: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{servers.services.prefect_api_url}/")  # as a printed command has it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert connect(servers.workspace, prefect=False)
    assert os.environ["PREFECT_API_AUTH_STRING"] == ":".join(servers.auth)
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ


def test_only_the_owner_reads_what_the_services_write(servers: Up) -> None:
    assert servers.workspace.services.stat().st_mode & 0o077 == 0
    assert supervisor.socket_path(servers.workspace).stat().st_mode & 0o077 == 0


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PreconditionError, match=rf"port {port} is taken.*choose another one with --mlflow-port"):
            up(Workspace(tmp_path), prefect_port=free_port(), mlflow_port=port)
    assert status(Workspace(tmp_path)).services is None


def test_down_where_nothing_is_up_is_harmless(tmp_path: Path) -> None:
    assert down(Workspace(tmp_path)).ended == ()


def test_open_servers_need_a_password(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match=r"servers on 0\.0\.0\.0 can be reached .* need a password"):
        up(Workspace(tmp_path), host="0.0.0.0", no_auth=True)


def test_two_at_once_are_told_apart(servers: Up) -> None:
    from filelock import FileLock

    with (
        FileLock(servers.workspace.services / "services.lock"),
        pytest.raises(PreconditionError, match="another `stsflow up` or `stsflow down` is at work"),
    ):
        down(servers.workspace)


@pytest.mark.slow
def test_a_server_that_cannot_start_is_shown_and_nothing_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.root.mkdir()
    workspace.mlflow_database.write_text("this is no database\n" * 100, encoding="utf-8")
    with pytest.raises(
        PreconditionError, match=r"(?s)mlflow ended each time it was started.*mlflow\.log.*not a database"
    ):
        start(workspace.root)
    assert status(workspace).services is None
    assert not [p for p in psutil.process_iter(["environ"]) if belongs_to(p, workspace)]


@pytest.mark.slow
def test_a_life_of_services(tmp_path: Path) -> None:
    """A server is killed, the manager is killed, everything is ended: one start pays for all of it.

    The address is one that the environment's proxy is not kept away from, as any other than 127.0.0.1 is.
    """
    running = start(tmp_path / "a workspace with an odd näme", host=ODD_HOST)
    workspace = running.workspace

    # A killed server is started again by its manager, and `up` waits for it.
    mlflow = json.loads(mark_path(workspace, "mlflow").read_text())["pid"]
    os.killpg(mlflow, signal.SIGKILL)
    assert up(workspace, host=ODD_HOST).ready
    assert json.loads(mark_path(workspace, "mlflow").read_text())["pid"] != mlflow

    # A killed manager leaves its servers behind, holding ports and databases. `up` ends those and starts anew.
    old = family(running)
    bystander = psutil.Popen(["sleep", "600"])
    stale = mark_path(workspace, "worker-gone")  # a mark whose process id belongs to somebody else now
    stale.write_text(json.dumps({"pid": bystander.pid, "started": bystander.create_time() - 60}))
    old[0].kill()
    old[0].wait(patience(10))
    assert status(workspace).services is None
    former = running.auth
    own_password_file(workspace).write_text("stsflow:another-password-now\n", encoding="utf-8")
    ports = {"prefect_port": running.services.prefect_port, "mlflow_port": running.services.mlflow_port}
    again = up(workspace, host=ODD_HOST, **ports)
    assert again.ready and not again.already
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in old)

    # The password that was changed in between is the one that counts, also where MLflow's user table has the old one.
    search = f"{running.services.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    for url in (f"{running.services.prefect_api_url}/admin/version", search):
        assert httpx.get(url, auth=former).status_code == 401
        assert httpx.get(url, auth=("stsflow", "another-password-now")).status_code == 200

    # `down` leaves no process of ours and touches no other.
    everyone = family(running)
    assert down(workspace).ended == ("mlflow", "prefect", "worker-cpu")
    assert not any(process.is_running() for process in everyone)
    assert not [p for p in psutil.process_iter(["environ"]) if belongs_to(p, workspace)]
    assert bystander.is_running()
    bystander.kill()
    bystander.wait()
    assert running_environment(workspace) == {}
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((ODD_HOST, running.services.prefect_port))


def belongs_to(process: psutil.Process, workspace: Workspace) -> bool:
    environment = process.info["environ"] or {}
    return environment.get("STSFLOW_WORKSPACE") == str(workspace.root) and process.pid != os.getpid()
