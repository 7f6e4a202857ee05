"""Backup, wipe, restore: every run, artifact, model version and alias is back, compared one by one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import mlflow_contents
import pytest
from live_services import free_port
from postgres_cluster import Postgres

from stsflow.flows.ops.backup import MANIFEST, backup, check_backup, restore
from stsflow.flows.ops.services.database import choose_databases, make_databases
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.artifact_store import fetch_all, send_all


def in_a_process(what: str, tracking_uri: str, artifacts: Path) -> dict[str, Any]:
    """What tests/fixtures/mlflow_contents.py answers."""
    done = subprocess.run(
        [sys.executable, mlflow_contents.__file__, what, tracking_uri, str(artifacts)],
        env=dict(os.environ) | {"MLFLOW_DISABLE_TELEMETRY": "true"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout) if what == "read" else {}
    return found


def everything(tracking_uri: str, artifacts: Path) -> dict[str, Any]:
    """All that MLflow keeps: three runs and a deleted one, their files, two versions, two aliases."""
    found = in_a_process("read", tracking_uri, artifacts)
    assert (len(found["runs"]), len(found["versions"]), len(found["files"])) == (4, 2, 6)
    assert {alias: int(version) for alias, version in found["aliases"].items()} == {"champion": 2, "previous": 1}
    return found


def fill_prefect(database: str) -> None:
    """Stands for Prefect's own tables: a backup copies whatever is in the database."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE flow_run (id TEXT, state TEXT)")
        connection.executemany("INSERT INTO flow_run VALUES (?, ?)", [(str(n), "Completed") for n in range(100)])
        connection.commit()


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """A workspace whose databases and artifacts are small and stand for real ones."""
    workspace.mlflow_artifacts.mkdir(parents=True)
    (workspace.mlflow_artifacts / "card.md").write_text("card", encoding="utf-8")
    workspace.prefect_home.mkdir()
    for database in (workspace.mlflow_database, workspace.prefect_home / "prefect.db"):
        fill_prefect(str(database))
    return workspace


def tables(workspace: Workspace) -> list[Any]:
    """Rows and files of such a workspace."""
    found: list[Any] = [path.read_text() for path in workspace.mlflow_artifacts.iterdir()]
    for database in (workspace.mlflow_database, workspace.prefect_home / "prefect.db"):
        with closing(sqlite3.connect(database)) as connection:
            found += connection.execute("SELECT * FROM flow_run ORDER BY id").fetchall()
    return found


def test_sqlite_comes_back_whole(filled: Workspace, tmp_path: Path) -> None:
    uri = f"sqlite:///{filled.mlflow_database}"
    filled.mlflow_database.unlink()
    (filled.mlflow_artifacts / "card.md").unlink()
    in_a_process("fill", uri, filled.mlflow_artifacts)
    before = everything(uri, filled.mlflow_artifacts)
    with closing(sqlite3.connect(filled.prefect_home / "prefect.db")) as busy:  # a server at work
        busy.execute("INSERT INTO flow_run VALUES ('unfinished', 'Running')")
        manifest = backup(filled, tmp_path / "backup")
        busy.rollback()
    assert manifest.databases == {"prefect": "sqlite", "mlflow": "sqlite"}
    shutil.rmtree(filled.root)
    restore(filled, tmp_path / "backup")
    assert everything(uri, filled.mlflow_artifacts) == before
    with closing(sqlite3.connect(filled.prefect_home / "prefect.db")) as connection:
        assert connection.execute("SELECT count(*), min(state) FROM flow_run").fetchone() == (100, "Completed")
    assert filled.mlflow_database.stat().st_mode & 0o077 == 0


def test_postgresql_comes_back_whole(postgres: Postgres, workspace: Workspace, tmp_path: Path) -> None:
    import psycopg2

    url = postgres.url("kept")
    databases = choose_databases(workspace, url)
    assert make_databases(databases) == ("kept_prefect", "kept_mlflow")
    uri = databases.mlflow.replace("stsflow@", f"stsflow:{postgres.password}@")
    workspace.mlflow_artifacts.mkdir(parents=True)
    in_a_process("fill", uri, workspace.mlflow_artifacts)
    with psycopg2.connect(postgres.url("kept_prefect")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE flow_run (id int, state text)")
        cursor.execute("INSERT INTO flow_run SELECT n, 'Completed' FROM generate_series(1, 100) n")
    before = everything(uri, workspace.mlflow_artifacts)
    backup(workspace, tmp_path / "backup", database_url=url)

    wipe = psycopg2.connect(postgres.url("postgres"))
    wipe.autocommit = True
    with closing(wipe), wipe.cursor() as cursor:
        for name in ("kept_prefect", "kept_mlflow"):
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    shutil.rmtree(workspace.root)

    restore(workspace, tmp_path / "backup", database_url=url)
    assert everything(uri, workspace.mlflow_artifacts) == before
    with psycopg2.connect(postgres.url("kept_prefect")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), min(state) FROM flow_run")
        assert cursor.fetchone() == (100, "Completed")
    with pytest.raises(PreconditionError, match="database is there already; to replace it, restore with --overwrite"):
        restore(workspace, tmp_path / "backup", database_url=url)
    restore(workspace, tmp_path / "backup", database_url=url, overwrite=True)
    assert everything(uri, workspace.mlflow_artifacts) == before


def test_a_damaged_backup_changes_nothing(filled: Workspace, tmp_path: Path) -> None:
    backup(filled, tmp_path / "backup")
    (tmp_path / "backup" / "mlflow.sqlite").write_bytes(b"rot")
    before = tables(filled)
    with pytest.raises(PreconditionError, match=r"is damaged: mlflow\.sqlite changed since it was made"):
        restore(filled, tmp_path / "backup", overwrite=True)
    assert tables(filled) == before


def test_what_is_there_is_not_overwritten_unasked(filled: Workspace, tmp_path: Path) -> None:
    backup(filled, tmp_path / "backup")
    with pytest.raises(PreconditionError, match="the prefect database is there already"):
        restore(filled, tmp_path / "backup")
    with pytest.raises(PreconditionError, match="a backup is never written over another one"):
        backup(filled, tmp_path / "backup")


def test_a_backup_of_nothing_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match=r"the prefect database .* does not exist; nothing was backed up"):
        backup(workspace, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_the_kind_of_database_does_not_change(filled: Workspace, tmp_path: Path) -> None:
    backup(filled, tmp_path / "backup")
    with pytest.raises(PreconditionError, match="a restore does not change the kind of database"):
        restore(filled, tmp_path / "backup", database_url="postgresql://nobody@127.0.0.1:9/x")


def test_manifest_names_every_file(filled: Workspace, tmp_path: Path) -> None:
    manifest = backup(filled, tmp_path / "backup")
    there = {str(p.relative_to(tmp_path / "backup")) for p in (tmp_path / "backup").rglob("*") if p.is_file()}
    assert set(manifest.files) == there - {MANIFEST}
    assert json.loads((tmp_path / "backup" / MANIFEST).read_text())["versions"]["mlflow"]
    assert check_backup(tmp_path / "backup") == manifest


def test_an_s3_store_is_copied_out_and_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against moto's server, through MLflow's own S3 client."""
    with s3(monkeypatch) as store:
        (tmp_path / "in" / "1" / "card").mkdir(parents=True)
        (tmp_path / "in" / "1" / "card" / "README.md").write_text("카드", encoding="utf-8")
        (tmp_path / "in" / "weights.bin").write_bytes(bytes(range(256)) * 1000)
        send_all(tmp_path / "in", f"{store}/artifacts")
        fetch_all(f"{store}/artifacts", tmp_path / "out")
    for path in ("1/card/README.md", "weights.bin"):
        assert (tmp_path / "out" / path).read_bytes() == (tmp_path / "in" / path).read_bytes()


@contextmanager
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'stsflow[test-ops]'")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'stsflow[s3]'")
    port = free_port()
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    address = f"http://127.0.0.1:{port}"
    for name, value in {
        "MLFLOW_S3_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="mlflow")
    yield "s3://mlflow"
    running.stop()
