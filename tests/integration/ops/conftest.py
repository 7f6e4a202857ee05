"""Real servers for the tests of operations: one pair for the whole session, PostgreSQL where it is found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from browser import log_in
from live_services import Up, start
from postgres_cluster import REMEDY, Postgres, cluster, find_postgres
from prefect.client.schemas.objects import FlowRun
from prefect_runs import fired_by_itself, often
from small_recipe import write_small_recipe

from stsflow.flows.ops.services import down


@pytest.fixture(scope="session")
def servers() -> Iterator[Up]:
    """Prefect, MLflow (SQLite) and a worker for the pool `cpu`; shared by all tests that change nothing global.

    The workspace lies where other users of the machine may come, which pytest's own folders do not.
    """
    with TemporaryDirectory(prefix="stsflow-services-") as folder:
        Path(folder).chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import trivial_flows
            running = start(Path(folder) / "workspace")
        yield running
        down(running.workspace)


@pytest.fixture
def client_of(servers: Up) -> Iterator[Up]:
    """The shared servers, and this process as their client."""
    with servers.used_here():
        yield servers


@dataclass(frozen=True)
class Finetuned:
    """A run of the small recipe that the schedule started and the worker carried out, on the shared servers."""

    up: Up
    run: FlowRun


@pytest.fixture(scope="session")
def finetuned(servers: Up, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """One scheduled run of the real flow through to a registered model; several tests look at it."""
    from prefect.client.orchestration import get_client

    from stsflow.flows.ops.deploy import deploy
    from stsflow.tasks.recipe.sections import RunConfig

    place = tmp_path_factory.mktemp("finetuned")
    recipe = RunConfig.from_recipe(write_small_recipe(place / "small.yaml", tiny_bert))
    with servers.used_here(), get_client(sync_client=True) as client:
        identifier = deploy(recipe, prefect_file=often(place / "prefect.yaml"), name="often").deployments[
            "finetune/finetune-often"
        ]
        try:
            return Finetuned(servers, fired_by_itself(client, identifier))
        finally:
            client.delete_deployment(identifier)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A fresh PostgreSQL cluster, or skip with the reason and the remedy."""
    pytest.importorskip("psycopg2", reason="the PostgreSQL driver is not installed: pip install 'stsflow[postgres]'")
    binaries = find_postgres()
    if binaries is None:
        pytest.skip(f"PostgreSQL was not found: {REMEDY}")
    with cluster(binaries) as running:
        yield running


@pytest.fixture(scope="module")
def page(servers: Up, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of headless Chromium whose user knows the password, or skip with the remedy."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install 'stsflow[test-ops]'"
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium was found: apt install chromium")
    # A run that a later test looks at is made first: the driver's loop would confuse Prefect's client.
    if any("finetuned" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("finetuned")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        user, password = servers.auth
        asked = {"username": user, "password": password, "origin": servers.services.mlflow_url}
        opened = browser.new_page(viewport={"width": 1440, "height": 1000}, http_credentials=asked)
        opened.set_default_timeout(60_000)
        log_in(opened, servers, servers.services.prefect_url)
        yield opened
        browser.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures go: STSFLOW_SCREENSHOTS, or the test's folder."""
    folder = Path(os.environ.get("STSFLOW_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
