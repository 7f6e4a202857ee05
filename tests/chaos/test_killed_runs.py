"""Killed at any moment, in any process: the next start goes on, and the record shows one undisturbed run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos, steps_by_attempt, undisturbed
from small_recipe import write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.request import WorkerSpec

STEPS, EVERY = 60, 10


@dataclass
class Story:
    """A trainer killed, then a flow, then everything at once, then left in peace."""

    chaos: Chaos
    exits: dict[str, tuple[int, str, str, float]]
    mlflow_status: dict[str, str]
    tags: dict[str, dict[str, str]]
    last: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Story:
    place = tmp_path_factory.mktemp("killed")
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    settings = {"training.max_steps": STEPS, "training.eval_steps": EVERY, "evaluation.resamples": 50}
    settings |= {"release.register_as": "null", "release.rules": "[]", "tracking.log_model": "false"}
    arguments = tuple(part for name, value in settings.items() for part in ("--set", f"{name}={value}"))
    chaos = Chaos(Workspace(place / ".stsflow"), recipe, arguments)
    exits, status, tags = {}, {}, {}
    for number, target in enumerate(("trainer", "flow", "everything"), start=1):
        running = chaos.start()
        running.wait_for(partial(_has_checkpoint, chaos, number))
        exits[target] = running.kill(target)  # type: ignore[arg-type]
        run = Store(chaos.workspace).run(chaos.states[0].mlflow_run_id)
        status[target], tags[target] = run.info.status, dict(run.data.tags)
    return Story(chaos, exits, status, tags, chaos.run())


def _has_checkpoint(chaos: Chaos, attempt: int) -> bool:
    return any(event.kind == "checkpoint" and event.attempt == attempt for event in chaos.events)


def test_the_weights_are_those_of_an_undisturbed_training(story: Story, tmp_path: Path) -> None:
    assert story.chaos.training is not None
    spec = WorkerSpec.load(story.chaos.training.spec)
    control = undisturbed(spec, tmp_path / "control")
    (tag,) = {Store(story.chaos.workspace).run(story.last["mlflow_run_id"]).data.tags["stsflow.model_digest"]}
    assert tag == control.model_digest


def test_every_later_attempt_did_less_than_the_whole(story: Story) -> None:
    steps = steps_by_attempt(story.chaos.events)
    assert len(steps) == 4 and all(done < STEPS for done in steps.values()), steps


def test_there_is_one_run_with_each_step_once(story: Story) -> None:
    assert len(story.chaos.states) == 1 and story.chaos.states[0].attempt == story.last["attempt"] == 4
    client = Store(story.chaos.workspace).client
    experiment = client.get_experiment_by_name("stsflow") or client.search_experiments()[0]
    assert len(client.search_runs([experiment.experiment_id])) == 1
    points = story.chaos.points(story.last["mlflow_run_id"])
    assert points["train/loss"] == list(range(2, STEPS + 1, 2))
    assert points["eval/sts-dev/spearman_cosine"] == list(range(EVERY, STEPS + 1, EVERY))


def test_a_killed_trainer_is_a_failed_run_with_the_reason(story: Story) -> None:
    code, output, errors, _ = story.exits["trainer"]
    assert (code, output) == (1, "")
    assert "The trainer was ended by signal 9, which stsflow did not send" in errors and "Traceback" not in errors
    assert "the same command goes on from there" in errors
    assert story.mlflow_status["trainer"] == "FAILED"
    assert "ended by signal 9" in story.tags["trainer"]["stsflow.ended_because"]
    assert "stsflow.trainer_log" in story.tags["trainer"]


def test_no_process_lives_on_when_its_flow_is_killed(story: Story) -> None:
    assert story.exits["flow"][0] == -9 and story.exits["flow"][3] < 5.0


def test_nothing_is_left_running_and_nothing_stale_is_left(story: Story) -> None:
    assert [story.chaos.flow_states()[run] for run in story.chaos.states[0].flow_run_ids] == [
        "FAILED", "CRASHED", "CRASHED", "COMPLETED",
    ]  # fmt: skip
    assert story.chaos.unfinished_task_runs() == 0
    assert story.chaos.states[0].status == "finished" and story.chaos.states[0].reason == ""
    run = Store(story.chaos.workspace).run(story.last["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert not {"stsflow.ended_because", "stsflow.trainer_log"} & set(run.data.tags)
    assert list(story.chaos.workspace.flow_runs.iterdir()) == []
