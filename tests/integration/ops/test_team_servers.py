"""The same on PostgreSQL and with a password: what a team runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from live_services import Up, start
from postgres_cluster import Postgres

from stsflow.flows.ops.services import down, running_environment, supervisor, up
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def team(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Servers on PostgreSQL that ask for user and password, both read from a file or the environment."""
    root = tmp_path_factory.mktemp("team")
    secret = root / "password"
    secret.write_text(f"stsflow:{PASSWORD}\n", encoding="utf-8")
    secret.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        running = start(root / "workspace", database_url=postgres.url("team"), auth_file=secret)
    yield running
    down(running.workspace)


def test_a_wrong_password_is_refused_by_both(team: Up) -> None:
    flows = f"{team.services.prefect_api_url}/flows/filter"
    runs = f"{team.services.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    for auth in (None, ("stsflow", "wrong"), ("stsflow", ""), ("admin", PASSWORD)):
        assert httpx.post(flows, json={}, auth=auth).status_code == 401
        assert httpx.get(runs, auth=auth).status_code == 401
    assert httpx.post(flows, json={}, auth=("stsflow", PASSWORD)).status_code == 200
    assert httpx.get(runs, auth=("stsflow", PASSWORD)).status_code == 200


def test_a_foreign_host_is_refused_with_the_right_password_too(team: Up) -> None:
    foreign = {"Host": "evil.example"}
    for url in (f"{team.services.prefect_api_url}/version", f"{team.services.mlflow_url}/"):
        assert httpx.get(url, headers=foreign, auth=("stsflow", PASSWORD)).status_code == 403


def test_no_secret_in_arguments_files_or_logs(team: Up, postgres: Postgres) -> None:
    secrets = (PASSWORD, postgres.password)
    manager = psutil.Process(int(supervisor.ask(team.workspace).getPID()))
    for process in [manager, *manager.children(recursive=True)]:
        assert not any(secret in " ".join(process.cmdline()) for secret in secrets)
    for path in team.workspace.services.iterdir():
        if path.is_file():
            content = path.read_text(encoding="utf-8", errors="replace")
            assert not any(secret in content for secret in secrets), path.name


def test_workers_do_not_get_the_database_password(team: Up, postgres: Postgres) -> None:
    manager = psutil.Process(int(supervisor.ask(team.workspace).getPID()))
    workers = [p for p in manager.children(recursive=True) if "worker" in p.cmdline()]
    assert workers
    for process in workers:
        environment = process.environ()
        assert postgres.password not in environment.values()
        assert environment["PREFECT_API_AUTH_STRING"] == f"stsflow:{PASSWORD}"


def test_both_servers_keep_their_records_in_postgresql(team: Up, postgres: Postgres) -> None:
    import psycopg2

    found = {}
    for name in ("team_prefect", "team_mlflow"):
        with psycopg2.connect(postgres.url(name)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            found[name] = {row[0] for row in cursor.fetchall()}
    assert {"flow_run", "deployment", "automation"} <= found["team_prefect"]
    assert {"runs", "metrics", "registered_model_aliases", "users"} <= found["team_mlflow"]
    assert not team.workspace.mlflow_database.exists()


def test_commands_find_servers_and_password(team: Up) -> None:
    assert running_environment(team.workspace) == team.environment | {
        "PREFECT_API_AUTH_STRING": f"stsflow:{PASSWORD}",
        "MLFLOW_TRACKING_USERNAME": "stsflow",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }


def test_a_password_file_that_others_can_read_is_refused(team: Up, tmp_path: Path) -> None:
    copy = shutil.copy(str(team.services.auth_file), tmp_path / "password")
    Path(copy).chmod(0o644)
    with pytest.raises(PreconditionError, match="can be read by others; run `chmod 600"):
        up(Workspace(tmp_path / "workspace"), auth_file=Path(copy))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://user@host/db", "the database URL names mysql; PostgreSQL is allowed"),
        ("not a url", "the database URL cannot be read; it looks like postgresql://"),
        ("postgresql://stsflow:secretsecret@127.0.0.1:9/x", "the PostgreSQL server at 127.0.0.1:9 cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(PreconditionError, match=message) as caught:
        up(Workspace(tmp_path), database_url=url)
    assert "secretsecret" not in caught.value.message


def test_a_wrong_database_password_is_named(postgres: Postgres, tmp_path: Path) -> None:
    wrong = postgres.url("team").replace(postgres.password, "wrongwrong")
    with pytest.raises(PreconditionError, match=r"cannot be used: .*password authentication failed") as caught:
        up(Workspace(tmp_path), database_url=wrong)
    assert "wrongwrong" not in caught.value.message
    assert "wrongwrong" not in os.environ.get("PGPASSWORD", "")
