"""Real servers for the tests of operations: one pair for the whole session, PostgreSQL where it is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_services import Up, start
from postgres_cluster import REMEDY, Postgres, cluster, find_postgres

from flows.services import down


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Prefect, MLflow (SQLite) and a worker for the pool `cpu`; shared by all tests that change nothing global."""
    root = tmp_path_factory.mktemp("services") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import trivial_flows
        running = start(root)
    yield running
    down(running.workspace)


@pytest.fixture
def client_of(servers: Up, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    """The shared servers, and this process as their client."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.services.mlflow_url)
    with temporary_settings({PREFECT_API_URL: servers.services.prefect_api_url}):
        yield servers


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A fresh PostgreSQL cluster, or skip with the reason and the remedy."""
    pytest.importorskip("psycopg2", reason="needs the PostgreSQL driver: pip install 'stsflow[postgres]'")
    binaries = find_postgres()
    if binaries is None:
        pytest.skip(f"PostgreSQL's initdb was not found; {REMEDY}")
    with cluster(binaries) as running:
        yield running
