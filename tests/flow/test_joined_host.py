"""`stsflow run` on one host and `stsflow join` on another, as two people would type them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from small_recipe import environment, write_small_recipe
from two_hosts import FIRST, PORT, Hosts, hosts, wait_for

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.events import read_events

__all__ = ["hosts"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_and_a_host_that_joins_it_train_one_model(hosts: Hosts, tiny_bert: Path, tmp_path: Path) -> None:
    recipe = write_small_recipe(tmp_path / "recipe.yaml", tiny_bert)
    address = f"{FIRST}:{PORT}"
    asked = ("--set", f"training.hosts={{count: 2, rendezvous: {address!r}}}")
    variables = environment(tmp_path / ".stsflow")
    logs = [tmp_path / "run.log", tmp_path / "join.log"]
    join = hosts.start(1, logs[1], "-m", "stsflow.flows", "join", address, environment=variables)
    run = hosts.start(0, logs[0], "-m", "stsflow.flows", "run", str(recipe), *asked, environment=variables)
    try:
        wait_for(lambda: None not in (run.poll(), join.poll()) or bool(run.poll() or join.poll()), 900, *logs)
    finally:
        for command in (run, join):
            if command.poll() is None:
                os.killpg(command.pid, signal.SIGTERM)
    assert [run.wait(), join.wait()] == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)

    (result,) = (tmp_path / ".stsflow" / "trainings").glob("*/result.json")
    trained = TrainedModel.load(result)
    assert (trained.steps, trained.attempts, trained.findings) == (20, 1, ())
    assert sum(item.rows_seen for item in trained.exposure) == 20 * 8 * 2  # steps, rows of a host, hosts
    taken_part = f"taking part in {result.parent}, which all hosts write to"
    assert taken_part in logs[1].read_text()
    evaluations = [event for event in read_events(TrainingFolder(result.parent).events) if event.kind == "evaluation"]
    assert [event.step for event in evaluations] == [5, 10, 15, 20]
    assert "sts-test" in logs[0].read_text()  # the run went on to the scores of the model
