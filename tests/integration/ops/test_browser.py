"""Both UIs in a real browser, on a run that the schedule started and the worker carried out.

Screenshots go to STSFLOW_SCREENSHOTS, or to the test's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import log_in, shows
from live_services import Up

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.links import run_page
from stsflow.tasks.tracking.store import Store

pytestmark = pytest.mark.timeout(900)  # the first test waits for a whole run of the flow


@pytest.fixture
def tracked(client_of: Up, finetuned: Any) -> Any:
    """The MLflow run of the scheduled run."""
    store = Store(Workspace(client_of.workspace.root))
    wanted = f"tags.`prefect.flow_run_id` = '{finetuned.run.id}'"
    (found,) = store.client.search_runs([store.experiment("stsflow")], wanted)
    return found


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_prefect_ui_opens_under_both_names_and_reaches_its_api(servers: Up, page: Any, name: str) -> None:
    answers: list[int] = []
    if name == "localhost":  # another origin
        log_in(page, servers, f"http://{name}:{servers.services.prefect_port}")
    page.on("response", lambda answer: answers.append(answer.status) if "/api/" in answer.url else None)
    page.goto(f"http://{name}:{servers.services.prefect_port}/work-pools")
    page.get_by_text("cpu", exact=True).first.wait_for()
    assert answers and all(status < 400 for status in answers)


@pytest.mark.slow  # waits for a whole run of the flow on servers
def test_prefect_shows_the_run(finetuned: Any, page: Any, screenshots: Path) -> None:
    page.goto(f"{finetuned.up.services.prefect_url}/runs/flow-run/{finetuned.run.id}")
    shows(page, finetuned.run.name, "Completed", "stsflow-cpu")
    page.get_by_text("Task Runs", exact=True).click()
    shows(page, "train small", "prepare nli, sts, sts-dev, sts-test")
    page.get_by_text("Artifacts", exact=True).click()
    shows(page, "mlflow-run", "model-card", "tokens", "exposure", "scores", "promotion", "training")
    assert page.screenshot(path=screenshots / "prefect-artifacts.png")


@pytest.mark.slow  # waits for a whole run of the flow on servers
def test_prefect_links_to_mlflow_and_back(finetuned: Any, tracked: Any, page: Any) -> None:
    mlflow, prefect = finetuned.up.services.mlflow_url, finetuned.up.services.prefect_url
    wanted = {"artifacts": {"key": {"any_": ["mlflow-run"]}}, "flow_runs": {"id": {"any_": [str(finetuned.run.id)]}}}
    (artifact,) = httpx.post(f"{prefect}/api/artifacts/filter", json=wanted, auth=finetuned.up.auth).json()
    page.goto(f"{prefect}/artifacts/artifact/{artifact['id']}")
    name = tracked.info.run_name
    link = page.locator("a", has_text=name).first
    link.wait_for()
    there = f"{mlflow}/{run_page(tracked.info.experiment_id, tracked.info.run_id)}"
    assert link.get_attribute("href") == there
    page.goto(there)
    shows(page, name)
    back = page.locator("a", has_text="This run in Prefect").first
    back.wait_for()
    assert back.get_attribute("href") == f"{prefect}/runs/flow-run/{finetuned.run.id}"


@pytest.mark.slow  # waits for a whole run of the flow on servers
def test_mlflow_shows_the_run(finetuned: Any, tracked: Any, page: Any, screenshots: Path) -> None:
    mlflow = finetuned.up.services.mlflow_url
    run = f"{mlflow}/#/experiments/{tracked.info.experiment_id}/runs/{tracked.info.run_id}"
    page.goto(f"{mlflow}/{run_page(tracked.info.experiment_id, tracked.info.run_id)}")
    shows(page, "A random two-layer model on a few synthetic rows", "sts-test", "small-model")
    assert page.screenshot(path=screenshots / "mlflow-run.png")
    page.goto(f"{run}/model-metrics")
    shows(page, "base/sts-dev", "spearman_cosine")
    page.goto(f"{run}/artifacts/card/figures/base-vs-tuned.png")
    picture = page.locator("img[src^='blob:'], img[src*='get-artifact'], img[src^='data:image/png']").first
    picture.wait_for()
    assert page.screenshot(path=screenshots / "mlflow-plot.png")


@pytest.mark.slow  # waits for a whole run of the flow on servers
def test_mlflow_shows_the_champion(finetuned: Any, page: Any) -> None:
    page.goto(f"{finetuned.up.services.mlflow_url}/#/models/small-model")
    shows(page, "Version 1", "champion")
