"""A person's yes in Prefect: a deployment's run is suspended without a process, and goes on with the answer.

Real servers, a real worker, the whole flow; the five runs train once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser import shows
from live_services import Up
from patience import patience
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect_runs import artifacts_of, often, until
from small_recipe import stsflow, write_small_recipe

from stsflow.flows.ops.deploy import deploy
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.tracking.store import Store

# Each waits for a whole run of the flow on servers.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.usefixtures("client_of")]
SHORT = ("training.max_steps=4", "training.eval_steps=4", "evaluation.resamples=50")


@dataclass
class House:
    """The servers, a deployment, and runs of it that ask for a yes, each for a registered model of its own."""

    up: Up
    recipe: Path
    deployment: str
    runs: dict[str, FlowRun] = field(default_factory=dict)
    """Each that has come to its question, by the name of its model."""

    def asked(self, name: str, hours: float = 72.0) -> FlowRun:
        """A run that has come to its question."""
        settings = (*SHORT, f"release.register_as={name}", f"release.approval={{timeout_hours: {hours}}}")
        recipe = RunConfig.from_recipe(self.recipe, settings).model_dump(mode="json")
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(self.deployment, parameters={"recipe": recipe})
            self.comes_to(run, "Suspended")
            assert artifacts_of(client, run)["approval"].data.startswith(f"**{name} version 1** would become champion")
            self.runs[name] = client.read_flow_run(run.id)
            return self.runs[name]

    def comes_to(self, run: FlowRun, state: str) -> FlowRun:
        """Wait for the run's state, and stop at another end."""
        with get_client(sync_client=True) as client:

            def found() -> FlowRun | None:
                now = client.read_flow_run(run.id)
                assert now.state is not None
                ended = now.state.is_final() or now.state.is_paused()
                assert not ended or now.state.name in (state, "Suspended"), now.state
                return now if now.state.name == state else None

            return until(found, 900)  # type: ignore[no-any-return]

    def answer(self, run: FlowRun, **said: object) -> str:
        """Fill the form in, as the page in Prefect does; what the server makes of it."""
        with get_client(sync_client=True) as client:
            return str(client.resume_flow_run(run.id, run_input=said).status.value)

    def champion(self, name: str) -> str | None:
        found = Store(self.up.workspace).registry.alias(name, "champion")
        return None if found is None else str(found.version)

    def said(self, name: str) -> dict[str, str]:
        """What the version's tags say of the approval."""
        tags = Store(self.up.workspace).registry.version_tags(name, "1")
        return {key.removeprefix("stsflow.approval."): text for key, text in tags.items() if "approval" in key}


@pytest.fixture(scope="module")
def house(servers: Up, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    place = tmp_path_factory.mktemp("asked")
    path = write_small_recipe(place / "small.yaml", tiny_bert)
    with servers.used_here():
        made = deploy(
            RunConfig.from_recipe(path), prefect_file=often(place / "prefect.yaml", active=False), name="asked"
        )
    return House(servers, path, made.deployments["finetune/finetune-asked"])


def test_a_yes_in_prefect_makes_it_champion_and_stands_in_mlflow(house: House) -> None:
    run = house.asked("said-yes")
    assert house.champion("said-yes") is None and house.said("said-yes")["stsflow.approval"] == "waiting"
    assert list(house.up.workspace.flow_runs.iterdir()) == []  # no process waits
    try:
        assert house.answer(run, approve=True, who="", why="looks fine") != "ACCEPT"
    except PrefectHTTPStatusError as error:
        assert error.response.status_code < 500
    assert house.answer(run, approve=True, who="anna", why="read its errors") == "ACCEPT"
    house.comes_to(run, "Completed")
    assert house.champion("said-yes") == "1"
    said = house.said("said-yes")
    assert (said["stsflow.approval"], said["by"], said["because"]) == ("approved", "anna", "read its errors")
    store = Store(house.up.workspace)
    (tracked,) = [store.run(version.run_id) for version in store.client.search_model_versions("name = 'said-yes'")]
    assert tracked.data.tags["stsflow.promoted"] == "true" and tracked.info.status == "FINISHED"
    assert "approved by anna on" in tracked.data.tags["stsflow.release"]
    checked = stsflow(house.up.workspace.root, "verify-card", "models:/said-yes@champion", **house.up.environment)
    assert "note: version 1: approved by anna on" in " ".join(checked.stdout.split()), checked.stdout + checked.stderr


def test_a_no_in_prefect_ends_the_run_and_the_champion_stays(house: House) -> None:
    run = house.asked("said-no")
    assert house.answer(run, approve=False, who="ben", why="slow on long texts") == "ACCEPT"
    house.comes_to(run, "Completed")
    assert house.champion("said-no") is None
    assert (house.said("said-no")["stsflow.approval"], house.said("said-no")["by"]) == ("refused", "ben")


def test_an_answer_by_command_lets_the_run_in_prefect_go_on(house: House) -> None:
    run = house.asked("by-command")
    words = ("promote", "by-command", "--approve", "--by", "carla", "--because", "good on our tickets")
    done = stsflow(house.up.workspace.root, *words, **house.up.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "approved by carla on" in " ".join(done.stdout.split())
    house.comes_to(run, "Completed")
    assert house.champion("by-command") == "1" and house.said("by-command")["by"] == "carla"


def test_no_answer_in_time_fails_the_run_and_refuses(house: House) -> None:
    run = house.asked("no-answer", hours=0.05)
    house.comes_to(run, "Failed")
    late = stsflow(
        house.up.workspace.root, "promote", "no-answer", "--approve", "--because", "late", **house.up.environment
    )
    assert late.returncode == 2 and "nobody answered until" in " ".join(late.stderr.split())
    assert house.champion("no-answer") is None and house.said("no-answer")["stsflow.approval"] == "timed out"


@pytest.fixture(scope="module")
def waiting(house: House) -> FlowRun:
    """A run that nobody has answered; made before the browser, whose loop would confuse Prefect's client."""
    with house.up.used_here():
        return house.asked("in-the-browser")


def test_the_question_is_answered_on_the_runs_page(
    house: House, waiting: FlowRun, page: Any, screenshots: Path
) -> None:
    """And the runs of the tests before this one show there how they ended."""
    address = f"{house.up.services.prefect_url}/runs/flow-run/"
    page.goto(f"{address}{waiting.id}")
    shows(page, "Suspended")
    assert page.screenshot(path=screenshots / "prefect-approval-waits.png")
    page.get_by_role("button", name="Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text("would become champion").wait_for()
    form.get_by_role("switch").click()
    for field_, said in zip(form.locator("textarea").all(), ("dora", "asked it in the browser"), strict=True):
        field_.fill(said)
    assert page.screenshot(path=screenshots / "prefect-approval-form.png")
    form.get_by_role("button", name="Submit").click()
    page.get_by_text("Completed", exact=True).first.wait_for(timeout=patience(300) * 1000)
    assert house.champion("in-the-browser") == "1" and house.said("in-the-browser")["by"] == "dora"
    ended = {"in-the-browser": "Completed", "said-no": "Completed", "no-answer": "Failed"}
    for name, state in ended.items():
        if run := house.runs.get(name):
            page.goto(f"{address}{run.id}")
            page.get_by_text(state, exact=True).first.wait_for()
            page.get_by_text("Artifacts", exact=True).click()
            shows(page, "approval")
            assert page.screenshot(path=screenshots / f"prefect-approval-{name}.png")
