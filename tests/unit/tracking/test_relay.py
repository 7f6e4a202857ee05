"""On a real MLflow store: what is sent arrives once, whatever happens in between."""

from __future__ import annotations

from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from misbehaving_server import MisbehavingServer
from mlflow.entities import LoggedModelOutput, LoggedModelStatus

from stsflow.tasks.ground.errors import PreconditionError, RecordRefused, TrackingUnavailable
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.journal import (
    Artifacts,
    DatasetInput,
    Finish,
    Journal,
    Metrics,
    Model,
    Params,
    Tags,
    milliseconds,
)
from stsflow.tasks.tracking.refusals import is_refusal
from stsflow.tasks.tracking.relay import Relay, require_sent
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.store_address import check_reachable


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("store")))


@pytest.fixture
def run_id(store: Store) -> str:
    return store.open_run("tests", "a run", {"k": "v"}, "what it is", datetime.now(UTC))[0]


def log_a_model(store: Store, run_id: str, digest: str) -> None:
    """A logged model of the run, without the files."""
    experiment = store.run(run_id).info.experiment_id
    model = store.client.create_logged_model(experiment, "model", run_id, tags={"stsflow.model_digest": digest})
    store.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    store.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])


def test_every_kind_of_entry_arrives(store: Store, run_id: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x\n", encoding="utf-8")
    journal = Journal(tmp_path / "tracking" / "journal.jsonl")
    journal.append(
        Params(values={"training.epochs": "1", "long": "x" * 7000}),
        Metrics(points=(("train/loss", 0.5, 1000, 1), ("train/loss", 0.25, 2000, 2))),
        Tags(values={"stsflow.recipe": "x"}),
        Artifacts(path="recipe.yaml", folder="recipe"),
        DatasetInput(
            name="nli", digest="d" * 64, source="s", revision="r", context="training", rows=3, columns=("anchor",)
        ),
        Finish(status="FINISHED", time=milliseconds()),
    )
    relay = Relay(store, run_id, journal, tmp_path)
    assert relay.flush() and journal.sent == 6
    run = store.run(run_id)
    assert run.data.params["training.epochs"] == "1"
    assert len(run.data.params["long"]) == 6000 and run.data.params["long"].endswith("(cut)")
    assert [(p.step, p.value, p.timestamp) for p in store.client.get_metric_history(run_id, "train/loss")] == [
        (1, 0.5, 1000), (2, 0.25, 2000),
    ]  # fmt: skip
    assert run.inputs.dataset_inputs[0].dataset.name == "nli"
    assert [file.path for file in store.client.list_artifacts(run_id, "recipe")] == ["recipe/recipe.yaml"]
    assert (run.info.status, run.data.tags["stsflow.recipe"]) == ("FINISHED", "x")


def test_metrics_whose_arrival_is_uncertain_are_not_sent_twice(store: Store, run_id: str, tmp_path: Path) -> None:
    """The process died between sending and noting that it had sent."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Metrics(points=(("loss", 0.5, 1000, 1), ("loss", 0.4, 2000, 2))))
    Relay(store, run_id, journal, tmp_path).flush()
    journal.confirm(0)
    journal.append(Metrics(points=(("loss", 0.3, 3000, 3),)))
    Relay(store, run_id, journal, tmp_path).flush()
    assert [p.step for p in store.client.get_metric_history(run_id, "loss")] == [1, 2, 3]


def test_a_tracker_that_is_away_delays_the_record_and_raises_nothing(store: Store, run_id: str, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Tags(values={"late": "yes"}))
    away = Store(store.workspace)
    away.client = MlflowClient(tracking_uri="http://127.0.0.1:9")
    relay = Relay(away, run_id, journal, tmp_path)
    assert relay.flush() is False and journal.sent == 0
    with pytest.raises(TrackingUnavailable, match="stsflow sync my-run"):
        require_sent(False, relay, "my-run")
    away.client = store.client
    assert relay.finish(patience_seconds=0.0)
    assert store.run(run_id).data.tags["late"] == "yes"


def test_a_server_that_does_not_answer_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(PreconditionError) as caught:
        check_reachable(workspace)
    assert "http://127.0.0.1:9 (MLFLOW_TRACKING_URI) does not answer" in caught.value.message
    assert "secret" not in caught.value.message


def test_something_that_is_no_mlflow_server_is_named(workspace, monkeypatch, http_server) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_server.url(""))
    with pytest.raises(PreconditionError, match="answers /health with 404"):
        check_reachable(workspace)


def test_an_end_that_was_not_the_last_is_never_sent_and_no_reason_stays(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    """An attempt failed and MLflow was away; the next attempt went on in the same run."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Finish(status="FAILED", time=1, reason="the disk is full", log_lines="No space left"))
    assert Relay(store, run_id, journal, tmp_path).flush()
    failed = store.run(run_id)
    assert (failed.info.status, failed.data.tags["stsflow.ended_because"]) == ("FAILED", "the disk is full")
    assert failed.data.tags["stsflow.trainer_log"] == "No space left"

    assert store.reopen_run(run_id)
    assert not {"stsflow.ended_because", "stsflow.trainer_log"} & set(store.run(run_id).data.tags)
    journal.append(Finish(status="FAILED", time=2, reason="again"))
    journal.append(Tags(values={"more": "work"}))
    assert Relay(store, run_id, journal, tmp_path).flush() and journal.sent == 3
    run = store.run(run_id)
    assert run.info.status == "RUNNING" and "stsflow.ended_because" not in run.data.tags


# ---------------------------------------------------------------------------------------- a refusal is not an outage


def test_a_refused_part_is_named_and_holds_up_nothing_behind_it(store: Store, run_id: str, tmp_path: Path) -> None:
    """MLflow takes no slash in the name of a registered model, now or ever."""
    log_a_model(store, run_id, "d" * 64)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(
        Model(path="model", digest="d" * 64, dimension=2, example=("x",), register_as="team/model:v1"),
        Tags(values={"no\nname": "x", "behind": "yes"}),
        Finish(status="FINISHED", time=milliseconds()),
    )
    relay = Relay(store, run_id, journal, tmp_path)
    assert relay.finish(patience_seconds=600.0) is False  # answered at once: nobody waits for a refusal
    assert journal.sent == 3 and set(relay.refused) == {1, 2}
    run = store.run(run_id)
    assert (run.info.status, run.data.tags["behind"]) == ("FINISHED", "yes")
    with pytest.raises(RecordRefused, match="Invalid model name 'team/model:v1'") as raised:
        require_sent(False, relay, "my-run")
    assert "stsflow sync my-run" in raised.value.message
    assert Relay(store, run_id, journal, tmp_path).flush()  # another run's look at it asks for nothing again


@pytest.mark.slow
def test_a_model_that_does_not_load_is_refused_and_not_waited_for(store: Store, run_id: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "no such architecture"}', encoding="utf-8")
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Model(path="model", digest="e" * 64, dimension=2, example=("x",)), Tags(values={"behind": "yes"}))
    relay = Relay(store, run_id, journal, tmp_path)
    assert relay.finish(patience_seconds=600.0) is False
    assert "model: the model does not load for MLflow" in relay.refused[1]
    assert store.run(run_id).data.tags["behind"] == "yes"


def test_what_was_refused_is_sent_once_the_cause_is_mended(store: Store, run_id: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Metrics(points=(("late", 0.5, 1000, 1),)), Tags(values={"late": "yes"}))
    store.client.delete_run(run_id)  # nothing may be written to a deleted run
    assert not Relay(store, run_id, journal, tmp_path).finish(patience_seconds=0.0) and journal.sent == 2
    store.client.restore_run(run_id)
    relay = Relay(store, run_id, journal, tmp_path)
    assert relay.finish(patience_seconds=0.0) and relay.refused == {}
    assert not (tmp_path / "journal.refused").exists()
    assert store.run(run_id).data.tags["late"] == "yes" and store.run(run_id).data.metrics["late"] == 0.5


class Refusing(MisbehavingServer):
    """A server that answers everything with one status."""

    status = 200

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.send_error(self.status)


@pytest.mark.parametrize(
    ("status", "final"), [(400, True), (403, True), (404, True), (413, True), (408, False), (429, False), (503, False)]
)
def test_refusals_and_outages_are_told_apart_by_status(
    monkeypatch: pytest.MonkeyPatch, status: int, final: bool
) -> None:
    """The same answer by the API of a server and by its artifact store; MLflow makes different errors of them."""
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with Refusing() as server:
        server.status = status
        client, artifacts = (
            MlflowClient(tracking_uri=server.address),
            HttpArtifactRepository(server.url("/api/2.0/mlflow-artifacts/artifacts")),
        )
        for ask in (lambda: client.get_run("r"), lambda: artifacts.list_artifacts()):
            with pytest.raises(Exception, match=str(status)) as raised:
                ask()
            assert is_refusal(raised.value) is final


def test_a_run_that_mlflow_refuses_is_refused_before_work(store: Store) -> None:
    with pytest.raises(PreconditionError, match=r"MLflow at .* refuses the run 'a run' in the experiment 'xxx"):
        store.open_run("x" * 600, "a run", {}, "", datetime.now(UTC))


def test_a_user_that_the_server_refuses_is_told_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Refusing() as server:
        server.status = 401
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        with pytest.raises(PreconditionError, match=r"refuses to look for models: .*401.*user name and password"):
            Store(Workspace(tmp_path)).check_access()
