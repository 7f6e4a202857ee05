"""The question and its answers on a real Prefect server, for a release without the stages before it.

The flow runs of a deployment are carried out by Prefect's own engine in this process, as a worker's process does: once
until they are suspended, and once more when they are resumed. The whole with a worker: tests/integration/ops/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outages import prefect_server
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run as current
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_runs import artifacts_of, until
from tracked_runs import RECIPE, opened

from stsflow.flows.approval import answer, ask_in_prefect, asked_before, tell_prefect
from stsflow.flows.summary import RunSummary
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.lock import recipe_yaml
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.release.promotion import basis_of, crown, decide_on, settle
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.runs import close_run
from stsflow.tasks.tracking.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RULES = [{"kind": "maximum_size", "megabytes": 1}]


def waiting(store: Store, name: str, hours: float) -> RunSummary:
    """What a run comes to whose model waits for a yes: version 2, in the place of version 1."""
    release = {"register_as": name, "rules": RULES, "approval": {"timeout_hours": hours}}
    recipe = RunConfig.model_validate({**RECIPE.model_dump(mode="json"), "release": release})
    run = opened(store, store.workspace, sha=name.encode().hex().ljust(64, "0"))
    folder, registry = RunFolder(run.folder), store.registry
    folder.recipe.write_text(recipe_yaml(recipe), encoding="utf-8")
    report = EvaluationReport(
        model="tuned", model_path=Path("m"), model_digest="b" * 64, suites={}, seconds=1, model_bytes=1
    )
    report.write(folder.report("tuned"))
    close_run(folder, "finished")
    registry.client.create_registered_model(name)
    for digest in "ab":
        tags = {"stsflow.model_digest": digest * 64}
        registry.client.create_model_version(name, str(folder.root), run_id=run.mlflow_run_id, tags=tags)
    crown(registry, name, "1", "the first")
    basis = basis_of(registry, name, report, recipe.release.rules)
    decision = decide_on(registry, name, basis, recipe.release.rules, Candidacy(candidate=report, headline="dev"))
    result = settle(registry, name, "2", decision, hours)
    result.write(folder.decision)
    return RunSummary(
        status="finished", name=run.name, recipe="small", mlflow_run_id=run.mlflow_run_id, flow_run_id="",
        tracking_uri="", experiment_id="1", run_dir=run.folder, model_dir=folder.model, card=folder.card, metrics={},
        shown={}, headline="dev/x", gain={}, reused=False, attempt=1, promoted=False, release=result.sentence,
        registered_as=name, model_version="2", approval=result.approval,
    )  # fmt: skip


@flow(name="finetune")
def releasing(root: str, name: str, hours: float) -> str:
    """The end of the flow `finetune`, and its beginning when it is resumed."""
    store = Store(Workspace(Path(root)))
    if (asked := asked_before(store.workspace, current.id or "")) is not None:
        return ask_in_prefect(store, asked).release
    return ask_in_prefect(store, waiting(store, name, hours)).release


class House:
    """A Prefect server with a deployment, and a workspace with its MLflow store."""

    def __init__(self, place: Path) -> None:
        self.workspace = Workspace(place / ".stsflow")
        self.store = Store(self.workspace)
        with get_client(sync_client=True) as client:
            self.deployment = client.create_deployment(client.create_flow(releasing), "asking")

    def asked(self, name: str, hours: float = 72.0) -> FlowRun:
        """A run of the deployment that was carried out up to its question."""
        with get_client(sync_client=True) as client:
            parameters: dict[str, Any] = {"root": str(self.workspace.root), "name": name, "hours": hours}
            run = client.create_flow_run_from_deployment(self.deployment, parameters=parameters)
            with pytest.raises(Pause):
                run_flow(releasing, flow_run=run)
            run = client.read_flow_run(run.id)
            assert run.state is not None and run.state.name == "Suspended"
            page = str(artifacts_of(client, run)["approval"].data)
        assert f"**{name} version 2** would become champion, in the place of version 1." in page
        assert "| maximum_size | yes |" in page
        assert (self.champion(name), self.said(name)) == ("1", ("waiting", ""))
        return run

    def answered(self, run: FlowRun, **said: object) -> str:
        """Fill the form in; what the server makes of it."""
        with get_client(sync_client=True) as client:
            return str(client.resume_flow_run(run.id, run_input=said).status.value)

    def goes_on(self, run: FlowRun) -> str:
        """Carry it out again, as a worker does with what was resumed; what the flow returns."""
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(run.id)
            assert run.state is not None and run.state.name == "Resuming"
            said = run_flow(releasing, flow_run=run)
            ended = client.read_flow_run(run.id)
            assert ended.state is not None and ended.state.is_completed()
        return str(said)

    def champion(self, name: str) -> str:
        return str(self.store.registry.alias(name, "champion").version)  # type: ignore[union-attr]  # there always is one

    def said(self, name: str) -> tuple[str, str]:
        tags = self.store.registry.version_tags(name, "2")
        return tags["stsflow.approval"], tags["stsflow.approval.by"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("asking")
    server, address = prefect_server(place / "server")
    server.start()
    with temporary_settings({PREFECT_API_URL: address}):
        yield House(place)
    server.stop()


def test_a_yes_with_a_name_and_a_reason_makes_it_champion(house: House) -> None:
    run = house.asked("yes")
    assert house.answered(run, approve=True, who="", why="fine") == "REJECT"
    assert house.answered(run, approve=True, why="fine") == "REJECT"
    assert house.answered(run, approve=True, who="anna", why="read its errors") == "ACCEPT"
    assert "approved by anna on" in house.goes_on(run)
    assert (house.champion("yes"), house.said("yes")) == ("2", ("approved", "anna"))


def test_a_no_ends_the_run_and_the_champion_stays(house: House) -> None:
    run = house.asked("no")
    assert house.answered(run, approve=False, who="ben", why="slow on long texts") == "ACCEPT"
    assert "not promoted: refused by ben on" in house.goes_on(run)
    assert (house.champion("no"), house.said("no")) == ("1", ("refused", "ben"))


def test_an_answer_by_command_lets_the_run_go_on(house: House) -> None:
    run = house.asked("command")
    result = answer(house.store, "command", "2", True, "carla", "good on our tickets")
    tell_prefect(result.approval)
    assert "approved by carla on" in house.goes_on(run)
    assert (house.champion("command"), house.said("command")) == ("2", ("approved", "carla"))


def test_no_answer_in_time_fails_the_run_and_a_late_yes_is_refused(house: House) -> None:
    run = house.asked("late", hours=0.003)
    with get_client(sync_client=True) as client:
        until(lambda: client.read_flow_run(run.id).state.is_failed())  # type: ignore[union-attr]  # it was started
    with pytest.raises(PreconditionError, match="nobody answered until"):
        answer(house.store, "late", "2", True, "anna", "at last")
    assert (house.champion("late"), house.said("late")) == ("1", ("timed out", ""))


def test_evidence_that_was_changed_after_the_question_is_not_approved(house: House) -> None:
    run = house.asked("changed")
    asked = asked_before(house.workspace, str(run.id))
    assert asked is not None
    path = RunFolder(asked.run_dir).report("tuned")
    EvaluationReport.load(path).model_copy(update={"model_bytes": 2}).write(path)
    assert house.answered(run, approve=True, who="anna", why="fine") == "ACCEPT"
    assert "are not those that version 2" in house.goes_on(run)
    assert (house.champion("changed"), house.said("changed")) == ("1", ("waiting", ""))
