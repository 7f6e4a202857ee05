"""Both UIs in a real browser, on real servers. Screenshots go to STSFLOW_SCREENSHOTS, or to the test's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_services import Up

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'stsflow[test-ops]'")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of headless Chromium, or skip with the remedy."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium was found; install Debian's `chromium`")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1440, "height": 900})
        browser.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("STSFLOW_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_prefect_ui_opens_under_both_names_and_reaches_its_api(servers: Up, page: Any, name: str) -> None:
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if "/api/" in answer.url else None)
    page.goto(f"http://{name}:{servers.services.prefect_port}/work-pools")
    page.get_by_text("cpu", exact=True).first.wait_for(timeout=60_000)
    assert answers and all(status < 400 for status in answers)


def test_prefect_ui_shows_the_work_pool(servers: Up, page: Any, screenshots: Path) -> None:
    page.goto(f"{servers.services.prefect_url}/work-pools")
    page.get_by_text("cpu", exact=True).first.wait_for(timeout=60_000)
    assert page.screenshot(path=screenshots / "prefect-work-pools.png")


def test_mlflow_ui_opens_and_lists_experiments(servers: Up, page: Any, screenshots: Path) -> None:
    page.goto(f"{servers.services.mlflow_url}/#/experiments")
    page.get_by_text("Default").first.wait_for(timeout=60_000)
    assert page.screenshot(path=screenshots / "mlflow-experiments.png")
