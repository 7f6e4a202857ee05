"""A sweep that is killed and stopped in the middle: the same trials as undisturbed, each once, and the same best."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from chaos import Chaos
from patience import patience
from ray_nodes import two_nodes
from small_recipe import write_small_recipe

from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.events import read_events

pytestmark = pytest.mark.slow
pytest.importorskip("optuna", reason="optuna is not installed: pip install 'stsflow[sweep]'")

TRIALS = 12
SPACE = """
training.learning_rate: {low: 1e-5, high: 1e-2, log: true}
training.batch_size: {choices: [4, 8]}
training.losses.sts: {choices: [{kind: cosent}, {kind: cosine_similarity}]}
"""
SETTINGS = {
    "training.max_steps": 8, "training.eval_steps": 2, "training.threads": 1, "evaluation.resamples": 50,
    "release.register_as": "null", "release.rules": "[]", "tracking.log_model": "false",
}  # fmt: skip


@dataclass
class Story:
    """A sweep killed, then stopped from the terminal, then left in peace; and one that never was disturbed."""

    chaos: Chaos
    code_of_the_stop: int
    status_after_the_stop: str
    """Of the sweep's parent run in MLflow."""
    scores_before_the_end: bool
    """Whether any suite had been scored while trials were at work."""
    last: dict[str, Any]
    undisturbed: dict[str, Any]


def sweep_in(place: Path, model: Path, *more: str) -> Chaos:
    place.mkdir()
    recipe = write_small_recipe(place / "small.yaml", model)
    (place / "space.yaml").write_text(SPACE, "utf-8")
    settings = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    arguments = ("--space", str(place / "space.yaml"), "--trials", str(TRIALS), *settings, *more)
    return Chaos(Workspace(place / ".stsflow"), recipe, arguments, verb="sweep")


def evaluated(chaos: Chaos) -> int:
    """Trainings that have come to an evaluation."""
    folders = (TrainingFolder(path) for path in chaos.workspace.root.glob("trainings/*"))
    return sum(any(event.kind == "evaluation" for event in read_events(folder.events)) for folder in folders)


def has_begun(chaos: Chaos, trials: int) -> bool:
    return evaluated(chaos) >= trials


def status_of_the_parent(chaos: Chaos) -> str:
    store = Store(chaos.workspace)
    runs = store.client.search_runs([store.experiment("stsflow")], max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return str(parent.info.status)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Story:
    place = tmp_path_factory.mktemp("sweeps")
    chaos = sweep_in(place / "disturbed", tiny_bert, "--pruner", "halving")
    running = chaos.start()
    running.wait_for(partial(has_begun, chaos, 4), seconds=400)
    running.kill("flow")
    running = chaos.start()
    running.wait_for(partial(has_begun, chaos, 7), seconds=400)
    scored = (chaos.workspace.root / "scores").exists()
    os.kill(running.process.pid, signal.SIGINT)
    running.end(timeout=120)
    code, status = running.process.returncode, status_of_the_parent(chaos)
    last = chaos.run()
    return Story(chaos, code, status, scored, last, sweep_in(place / "calm", tiny_bert, "--pruner", "halving").run())


def trainers(chaos: Chaos) -> list[psutil.Process]:
    """Processes that train in the workspace, whoever started them."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "stsflow.tasks.training.worker" in (said := process.info["cmdline"] or ())
        and Path(said[-1]).is_relative_to(chaos.workspace.root)
    ]


def told(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(one[name] for name in ("number", "state", "settings", "score", "reason")) for one in result["trials"]]


def test_the_trials_and_the_best_are_those_of_an_undisturbed_sweep(story: Story) -> None:
    assert [one["number"] for one in story.last["trials"]] == list(range(TRIALS))
    assert told(story.last) == told(story.undisturbed)
    assert story.last["best"] == story.undisturbed["best"]
    assert {"complete", "pruned"} == {one["state"] for one in story.last["trials"]}
    scores = {run: result["released"]["metrics"] for run, result in (("a", story.last), ("b", story.undisturbed))}
    assert scores["a"] == scores["b"]


def test_the_best_has_the_best_score_of_those_that_ran_to_their_end(story: Story) -> None:
    whole = {one["number"]: one["score"] for one in story.last["trials"] if one["state"] == "complete"}
    assert whole[story.last["best"]] == max(whole.values())


def test_a_stop_from_the_terminal_leaves_a_sweep_that_goes_on(story: Story) -> None:
    assert story.code_of_the_stop == 130
    assert story.status_after_the_stop == "KILLED"


def test_no_suite_is_scored_before_the_best_is_known(story: Story) -> None:
    assert not story.scores_before_the_end


def test_what_the_choice_gained_on_dev_is_not_there_on_test(story: Story) -> None:
    """A model that knows nothing, twelve settings, sixty rows: docs/sweeps.md has the figures."""
    found = story.undisturbed["released"]["metrics"]
    gains = {
        name: found[f"tuned/sts-{name}/spearman_cosine"] - found[f"base/sts-{name}/spearman_cosine"]
        for name in ("dev", "test")
    }
    assert gains["dev"] > 0.1 and gains["test"] < gains["dev"] / 2


def test_every_trial_is_one_run_below_one_parent_that_has_the_table(story: Story) -> None:
    store = Store(story.chaos.workspace)
    (experiment,) = [one for one in store.client.search_experiments() if one.name == "stsflow"]
    runs = store.client.search_runs([experiment.experiment_id], max_results=1000)
    parents = Counter(run.data.tags.get("mlflow.parentRunId") for run in runs)
    assert parents == {None: 1, story.last["mlflow_run_id"]: TRIALS + 1}
    trials = Counter(run.data.tags["stsflow.trial"] for run in runs if "stsflow.trial" in run.data.tags)
    assert trials == {str(number + 1): 1 for number in range(TRIALS)}
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent = store.run(story.last["mlflow_run_id"])
    assert parent.data.tags["stsflow.chosen_trial"] == str(story.last["best"] + 1)
    assert f"The best of {TRIALS} trials" in parent.data.tags["mlflow.note.content"]
    names = {item.path for item in store.client.list_artifacts(parent.info.run_id, "sweep")}
    assert {"sweep/trials.json", "sweep/history.png", "sweep/settings.png"} <= names


def test_the_card_says_that_it_is_the_best_of_so_many_and_on_what_it_was_chosen(story: Story) -> None:
    card = Path(story.last["released"]["card"]).read_text("utf-8")
    assert f"those of the best of {TRIALS} trials of a sweep over training.learning\\_rate" in card.replace(
        "training.learning_rate", "training.learning\\_rate"
    )
    assert "They were chosen by spearman\\_cosine on sts-dev" in card.replace("spearman_cosine", "spearman\\_cosine")


def test_the_models_of_the_other_trials_are_not_kept(story: Story) -> None:
    assert len(list(story.chaos.workspace.root.glob("trainings/*/model"))) == 1


SIDE_BY_SIDE = ("--parallel", "2", "--sampler", "random", "--pruner", "none")
"""What is drawn follows from the seed and the trial's number, and each runs to its end: the order says nothing."""


@pytest.fixture(scope="module")
def undisturbed_side_by_side(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    return sweep_in(tmp_path_factory.mktemp("calm") / "parallel", tiny_bert, *SIDE_BY_SIDE).run()


@pytest.fixture(params=["threads", "ray"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Options of the place where trials run: here, or on a real Ray cluster of two nodes with a processor each."""
    if request.param == "threads":
        yield ()
        return
    with two_nodes() as address:
        yield "--on", "ray", "--ray-address", address


@pytest.mark.timeout(1800)  # three starts of a sweep of 12 trials
def test_trials_side_by_side_killed_and_stopped_are_none_twice(
    tmp_path: Path, tiny_bert: Path, place: tuple[str, ...], undisturbed_side_by_side: dict[str, Any]
) -> None:
    chaos = sweep_in(tmp_path / "parallel", tiny_bert, *SIDE_BY_SIDE, *place)
    running = chaos.start()
    running.wait_for(lambda: len(trainers(chaos)) == 2, seconds=400)
    running.wait_for(partial(has_begun, chaos, 3), seconds=400)
    left = trainers(chaos)
    running.kill("flow")
    _, alive = psutil.wait_procs(left, timeout=patience(15))
    assert not alive and not trainers(chaos)
    running = chaos.start()
    running.wait_for(partial(has_begun, chaos, 6), seconds=400)
    os.kill(running.process.pid, signal.SIGINT)
    _, said = running.end(timeout=120)
    assert running.process.returncode == 130
    assert "the same command continues it" in said
    assert status_of_the_parent(chaos) == "KILLED"
    assert not trainers(chaos)
    found = chaos.run()
    assert told(found) == told(undisturbed_side_by_side)
    assert found["best"] == undisturbed_side_by_side["best"]
    assert [one["number"] for one in found["trials"]] == list(range(TRIALS))
    assert len({str(one["settings"]) for one in found["trials"]}) == TRIALS
    store = Store(chaos.workspace)
    children = f"tags.`mlflow.parentRunId` = '{found['mlflow_run_id']}'"
    runs = store.client.search_runs([store.experiment("stsflow")], children)
    assert Counter(run.data.tags.get("stsflow.trial", "best") for run in runs) == dict.fromkeys(
        ("best", *map(str, range(1, TRIALS + 1))), 1
    )
