"""What doctor finds, on real servers and on broken things."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from live_services import Up
from postgres_cluster import Postgres

from stsflow.flows.ops.doctor import Examination, Observation, examine
from stsflow.flows.ops.services.database import choose_databases, make_databases
from stsflow.tasks.ground.workspace import Workspace


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "HF_HUB_OFFLINE", "STSFLOW_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def finding(examination: Examination, subject: str) -> Observation:
    return next(found for found in examination.findings if found.subject == subject)


def test_running_servers_are_well(servers: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.environment.items():
        monkeypatch.setenv(name, value)
    examination = examine(servers.workspace)
    for subject in ("Prefect server", "MLflow server", "services", "database", "versions"):
        assert finding(examination, subject).verdict == "ok", subject
    assert examination.healthy


def test_a_server_that_does_not_answer_is_wrong(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret-word@127.0.0.1:9")
    examination = examine(workspace)
    assert not examination.healthy
    assert "does not answer" in finding(examination, "Prefect server").found
    mlflow = finding(examination, "MLflow server")
    assert mlflow.verdict == "wrong" and "stsflow up" in mlflow.remedy
    assert "secret-word" not in examination.model_dump_json()


def test_a_password_that_is_missing_is_named(servers: Up) -> None:
    examination = examine(servers.workspace)
    wanted = {"Prefect server": "PREFECT_API_AUTH_STRING", "MLflow server": "MLFLOW_TRACKING_PASSWORD"}
    for subject, remedy in wanted.items():
        found = finding(examination, subject)
        assert found.verdict == "wrong" and "does not accept the password" in found.found and remedy in found.remedy


def test_a_server_asked_under_a_foreign_name_is_told_apart(servers: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    port = servers.services.prefect_port
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.2:{port}/api")
    found = finding(examine(servers.workspace), "Prefect server")
    assert found.verdict == "wrong"


def test_a_damaged_database_is_named(workspace: Workspace) -> None:
    workspace.root.mkdir(parents=True)
    workspace.mlflow_database.write_bytes(b"not a database at all" * 100)
    found = finding(examine(workspace), "database")
    assert found.verdict == "wrong" and str(workspace.mlflow_database) in found.found and "restore" in found.remedy


def test_damaged_records_are_named_with_a_way_out(workspace: Workspace) -> None:
    run = workspace.run("small-aaaaaaaa-001")
    run.journal.parent.mkdir(parents=True)
    run.state.write_bytes(b'{"name": "sm')
    run.journal.write_bytes(b'{"kind":"tags","values":{"a":"1"}}\n{"kind":"tbgs","values":{"a":"1"}}\n')
    workspace.flow_runs.mkdir()
    (workspace.flow_runs / "note.json").write_bytes(b"")
    found = finding(examine(workspace), "records")
    assert found.verdict == "note" and "run again" in found.remedy
    for named in (str(run.state), f"line 2 of {run.journal}", "note.json"):
        assert named in found.found


def test_a_workspace_that_is_a_file_is_named(workspace: Workspace) -> None:
    workspace.root.write_text("", "utf-8")
    found = finding(examine(workspace), "disk")
    assert found.verdict == "wrong" and f"{workspace.root} is a file" in found.found


def test_a_postgresql_is_asked(postgres: Postgres, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(url: str) -> Observation:
        monkeypatch.setenv("STSFLOW_DATABASE_URL", url)
        return finding(examine(workspace), "database")

    monkeypatch.delenv("PGPASSWORD", raising=False)
    url = postgres.url("doctor")
    assert 'database "doctor_prefect" does not exist' in look(url).found
    make_databases(choose_databases(workspace, url))
    assert look(url).verdict == "ok"
    wrong = look(url.replace(postgres.password, "wrongwrong"))
    assert wrong.verdict == "wrong" and "password authentication failed" in wrong.found
    assert "wrongwrong" not in wrong.model_dump_json()
    unknown = look(url.replace(f":{postgres.password}", ""))
    assert unknown.verdict == "note" and "STSFLOW_DATABASE_URL" in unknown.remedy
    gone = look("postgresql://stsflow:secretsecret@127.0.0.1:9/x")
    assert gone.verdict == "wrong" and "secretsecret" not in gone.model_dump_json()


def test_leftover_services_are_seen(workspace: Workspace) -> None:
    workspace.services.mkdir(parents=True)
    (workspace.services / "mlflow.pid.json").write_text('{"pid": 1, "started": 0}', encoding="utf-8")
    assert "left services behind" in finding(examine(workspace), "services").found


def test_another_version_is_named_with_the_remedy(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.155.0" if name == "fastapi" else real(name))
    found = finding(examine(workspace), "versions")
    assert found.verdict == "wrong"
    assert "fastapi 0.155.0 instead of ==0.150.0" in found.found and "constraints.txt" in found.remedy


def test_looking_leaves_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    examine(workspace)
    assert list(tmp_path.iterdir()) == []
