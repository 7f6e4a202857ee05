"""Scores belong to a logged model and a data set, so that MLflow itself ranks models; each point stands there once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from outages import mlflow_server

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.evaluation import EvaluationReport, SuiteScores
from stsflow.tasks.tracking import entries
from stsflow.tasks.tracking.journal import Journal, ModelScores
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store

METRIC = "tuned/sts-test/spearman_cosine"
OLD, NEW = "a" * 64, "b" * 64
"""Digests of two states of one data set."""


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The embedded store, and a real server."""
    if request.param == "sqlite":
        yield Store(Workspace(tmp_path / "workspace"))
        return
    server, address = mlflow_server(tmp_path / "mlflow")
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    yield Store(Workspace(tmp_path / "workspace"))
    server.stop()


def evaluated(store: Store, folder: Path, digest: str, score: float, data: str) -> tuple[str, str, Relay]:
    """A run whose model has this score on the data set of this digest: run, logged model and relay."""
    run, experiment = store.open_run("ranked", digest, {}, "", datetime.now(UTC))
    suite = SuiteScores(
        suite="sts-test", kind="sts", title="", split="test", rows=9, data_digest=data, model_digest=digest,
        primary="spearman_cosine", metrics={"spearman_cosine": score, "pearson_cosine": score / 2},
    )  # fmt: skip
    base = suite.model_copy(update={"model_digest": "base", "metrics": {"spearman_cosine": 0.99}})
    reports = [
        EvaluationReport(
            model=name, model_path=folder, model_digest=one.model_digest, suites={"sts-test": one}, seconds=0
        )
        for name, one in (("base", base), ("tuned", suite))
    ]
    journal = Journal(folder / digest / "journal.jsonl")
    for entry in (*entries.scores(reports, ()), entries.model_scores(reports, digest)):
        journal.append_once(entry)
    logged = store.client.create_logged_model(experiment, "model", run, tags={"stsflow.model_digest": digest})
    store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    store.client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
    relay = Relay(store, run, journal, folder)
    assert relay.finish(patience_seconds=60)
    return run, logged.model_id, relay


def test_models_are_ranked_by_a_metric_on_a_data_set(store: Store, tmp_path: Path) -> None:
    low = evaluated(store, tmp_path, "m1", 0.6, NEW)
    high = evaluated(store, tmp_path, "m2", 0.7, NEW)
    evaluated(store, tmp_path, "m3", 0.9, OLD)  # the best number, of other rows
    (experiment,) = {store.run(run).info.experiment_id for run, _, _ in (low, high)}
    on = {"dataset_name": "sts-test", "dataset_digest": NEW[:36]}
    found = store.client.search_logged_models(
        [experiment], datasets=[on], order_by=[{"field_name": f"metrics.{METRIC}", "ascending": False} | on],
    )  # fmt: skip
    assert [model.model_id for model in found if any(m.dataset_digest == NEW[:36] for m in model.metrics)][:2] == [
        high[1], low[1],
    ]  # fmt: skip
    assert {model.model_id for model in found} == {high[1], low[1]}
    above = store.client.search_logged_models([experiment], f"metrics.`{METRIC}` > 0.65", datasets=[on])
    assert [model.model_id for model in above] == [high[1]]
    assert {metric.key for metric in above[0].metrics} == {METRIC, "tuned/sts-test/pearson_cosine"}  # not the base's


def test_scores_that_are_sent_again_stand_there_once(store: Store, tmp_path: Path) -> None:
    """The process died between sending and noting that it had sent, and then the stage ran again."""
    run, model, relay = evaluated(store, tmp_path, "m1", 0.6, NEW)
    before = store.client.get_metric_history(run, METRIC)
    relay.journal.confirm(0)
    again = Relay(store, run, Journal(relay.journal.path), tmp_path)
    assert again.finish(patience_seconds=60)
    assert store.client.get_metric_history(run, METRIC) == before and len(before) == 1
    points = [metric for metric in store.client.get_logged_model(model).metrics or [] if metric.key == METRIC]
    assert [(point.value, point.timestamp, point.dataset_name) for point in points] == [
        (0.6, before[0].timestamp, "sts-test")
    ]


def test_scores_of_a_model_that_was_refused_are_set_aside(store: Store, tmp_path: Path) -> None:
    run, _ = store.open_run("ranked", "none", {}, "", datetime.now(UTC))
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(ModelScores(digest="c" * 64, scores=((METRIC, "sts-test", NEW),)))
    relay = Relay(store, run, journal, tmp_path)
    assert not relay.finish(patience_seconds=1) and "no logged model with digest" in relay.refused[1]
