"""Trials in Optuna's storage: what comes next, who ends early, who is best. A score stands in for a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stsflow.tasks.ground.errors import (
    DiskFull,
    ModelError,
    OutOfMemory,
    PreconditionError,
    RecipeError,
    StsflowError,
    TrainerKilled,
)
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.sweeping.settings import SweepConfig
from stsflow.tasks.sweeping.space import SearchSpace
from stsflow.tasks.sweeping.storage import VARIABLE, check_storage, open_storage, sole_sweep
from stsflow.tasks.sweeping.trial import Judge, Pruned, is_the_settings_fault
from stsflow.tasks.sweeping.trials import Trials
from stsflow.tasks.training.events import Event

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'stsflow[sweep]'")

SPACE = SearchSpace.model_validate(
    {
        "fields": {
            "training.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
            "training.batch_size": {"low": 4, "high": 32, "step": 4},
            "training.losses.sts": {"choices": [{"kind": "cosent"}, {"kind": "angle"}]},
        }
    }
)


def sweep_of(workspace: Workspace, name: str = "a-sweep", **how: Any) -> Trials:
    """As a new process finds it."""
    workspace.make()
    return Trials(open_storage(workspace), name, SweepConfig(space=SPACE, **{"trials": 16} | how))


def score_of(settings: dict[str, Any]) -> float:
    return -abs(settings["training.learning_rate"] - 1e-3) - settings["training.batch_size"] / 1e6


def run(trials: Trials, numbers: Iterator[int]) -> list[int]:
    done = []
    for number in numbers:
        trials.finish(number, "complete", score_of(trials.settings(number)))
        done.append(number)
    return done


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_sweep_that_was_left_anywhere_goes_on_as_if_it_had_not_been(workspace: Workspace, sampler: str) -> None:
    undisturbed = sweep_of(workspace, "undisturbed", sampler=sampler)
    assert run(undisturbed, undisturbed.numbers()) == list(range(16))
    for left_at in (0, 5, 11, 13):  # a new process each; a trial of it is at work and has not been told of
        again = sweep_of(workspace, sampler=sampler)
        numbers = again.numbers()
        while (number := next(numbers)) < left_at:
            run(again, iter([number]))
        assert number == left_at
    last = sweep_of(workspace, sampler=sampler)
    assert run(last, last.numbers()) == [13, 14, 15]
    assert last.outcomes() == undisturbed.outcomes()
    other = sweep_of(workspace, "other", sampler=sampler, seed=1)
    run(other, other.numbers())
    assert other.outcomes() != last.outcomes()


def test_more_trials_continue_a_sweep_that_has_ended(workspace: Workspace) -> None:
    first = sweep_of(workspace, trials=2)
    assert run(first, first.numbers()) == [0, 1] and list(first.numbers()) == []
    more = sweep_of(workspace, trials=3)
    assert run(more, more.numbers()) == [2]


def test_several_at_a_time_are_different_trials(workspace: Workspace) -> None:
    trials = sweep_of(workspace, trials=4)
    numbers = trials.numbers()
    begun = [next(numbers), next(numbers)]
    assert begun == [0, 1] and trials.settings(0) != trials.settings(1)
    again = sweep_of(workspace, trials=4)
    assert run(again, again.numbers()) == [0, 1, 2, 3]


def test_of_equals_the_earlier_trial_is_the_best_and_a_pruned_one_never_is(workspace: Workspace) -> None:
    trials = sweep_of(workspace, trials=4)
    for number, score in zip(trials.numbers(), (0.5, 0.7, 0.7, 0.9), strict=True):
        trials.report(number, 1, score)
        trials.finish(number, "pruned" if score == 0.9 else "complete", None if score == 0.9 else score)
    assert [outcome.number for outcome in trials.ranked()] == [1, 2, 0]
    assert trials.outcomes()[3].score == 0.9 and trials.outcomes()[3].state == "pruned"


def evaluations(*scores: float, total: int = 40) -> list[Event]:
    """What a trainer tells of evaluations at steps 10, 20, and so on."""
    found: list[Event] = []
    for number, score in enumerate(scores, start=1):
        step = 10 * number
        values: dict[str, Any] = {"kind": "progress", "values": {"total_steps": float(total)}}
        found.append(Event(seq=2 * number - 1, time=0.0, attempt=1, step=step, **values))
        values = {"kind": "evaluation", "values": {"spearman_cosine": score}}
        found.append(Event(seq=2 * number, time=0.0, attempt=1, step=step, **values))
    return found


def told(trials: Trials, number: int, events: list[Event]) -> str:
    """`pruned at step …`, or nothing, when a trainer tells these events."""
    try:
        Judge(trials, number, "spearman_cosine", lambda _: None).listen(events)
    except Pruned as pruned:
        return str(pruned)
    return ""


def test_successive_halving_ends_the_worse_half_at_each_rung(workspace: Workspace) -> None:
    trials = sweep_of(workspace, pruner="halving")
    numbers = trials.numbers()
    # Rungs are evaluations 1, 2 and 4; the last evaluation ends nobody. By hand, of those before at the same one:
    expected = [
        ((0.5, 0.6, 0.7, 0.8), ""),  # nobody was there
        ((0.4, 0.9, 0.9, 0.9), "pruned at step 10 with 0.4000"),  # second of two: the best one goes on
        ((0.6, 0.5, 0.9, 0.9), "pruned at step 20 with 0.5000"),  # first of three; then second of two
        ((0.6, 0.6, 0.1, 0.1), ""),  # best of four; best of three; evaluation 3 is none, 4 is the last
        ((0.5, 0.7, 0.7, 0.9), "pruned at step 10 with 0.5000"),  # two of five go on, and two are better
    ]
    for (scores, said), number in zip(expected, numbers, strict=False):
        assert told(trials, number, evaluations(*scores)) == said
        trials.finish(number, "pruned" if said else "complete", None if said else scores[-1])


def test_the_median_of_the_trials_that_are_done_decides_at_the_same_evaluation(workspace: Workspace) -> None:
    trials = sweep_of(workspace, pruner="median")
    numbers = trials.numbers()
    for score in (0.1, 0.2, 0.3, 0.4, 0.5):
        number = next(numbers)
        assert told(trials, number, evaluations(score, score, score, score)) == ""
        trials.finish(number, "complete", score)
    assert told(trials, next(numbers), evaluations(0.2, 0.9)) == "pruned at step 10 with 0.2000"
    assert told(trials, next(numbers), evaluations(0.35, 0.2, 0.2, 0.2)) == ""  # its best so far counts
    unpruned = sweep_of(workspace, "other", pruner="none")
    assert told(unpruned, next(unpruned.numbers()), evaluations(0.0, 0.0)) == ""


@pytest.mark.parametrize(
    ("error", "tried", "its_fault"),
    [
        (OutOfMemory("the batch does not fit"), "training.batch_size", True),
        (RecipeError("two values that do not go together"), "training.batch_size", True),
        (TrainerKilled("by a signal"), "training.batch_size", False),
        (DiskFull("no room"), "training.batch_size", False),
        (ModelError("the folder is gone"), "training.batch_size", False),
        (ModelError("no model is there"), "model.source.path", True),
    ],
)
def test_a_trial_fails_for_what_it_tries_and_for_nothing_else(error: StsflowError, tried: str, its_fault: bool) -> None:
    assert is_the_settings_fault(error, [tried]) == its_fault


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_what_is_told_a_second_time_is_judged_as_the_first_time(workspace: Workspace, pruner: str) -> None:
    """After a kill the trainer's events are heard from the beginning."""
    trials = sweep_of(workspace, pruner=pruner)
    numbers = trials.numbers()
    for score in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        number = next(numbers)
        told(trials, number, evaluations(score, score, score, score))
        trials.finish(number, "complete", score)
    number, events = next(numbers), evaluations(0.6, 0.1, 0.1)
    first = told(trials, number, events)
    again = sweep_of(workspace, pruner=pruner)
    assert [told(again, number, events), told(again, number, events[:2])] == [first, ""]
    assert bool(first) == (pruner == "halving")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense", "allowed is postgresql://user:password@host"),
        ("mysql://u:secret@h/d", "is no database of trials; allowed"),
        ("postgresql://u:secret@127.0.0.1:9/d", "does not answer"),
    ],
)
def test_a_storage_that_cannot_be_is_refused_without_its_password(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(PreconditionError) as caught:
        check_storage(workspace)
    assert words in caught.value.message and "secret" not in caught.value.message


def test_trials_in_postgresql_go_on_and_one_process_at_a_time_runs_them(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from postgres_cluster import REMEDY, cluster, find_postgres

    if (binaries := find_postgres()) is None:
        pytest.skip(f"PostgreSQL was not found: {REMEDY}")
    with cluster(binaries) as postgres:
        monkeypatch.setenv(VARIABLE, postgres.url("postgres"))
        check_storage(workspace)
        first = sweep_of(workspace, trials=3)
        assert next(first.numbers()) == 0
        elsewhere = Workspace(tmp_path / "another-host")
        refused = pytest.raises(PreconditionError, match="another process works on the sweep a-sweep")
        with sole_sweep(workspace, "a-sweep"), refused, sole_sweep(elsewhere.make(), "a-sweep"):
            pass
        with sole_sweep(elsewhere, "a-sweep"):
            again = sweep_of(elsewhere, trials=3)
            assert run(again, again.numbers()) == [0, 1, 2]
        assert not elsewhere.sweep_database.exists()
