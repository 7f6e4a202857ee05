"""Many SIGKILLs at random moments. `make chaos` prints what was killed, when, and what each kill cost.

STSFLOW_CHAOS_KILLS and STSFLOW_CHAOS_SEED change how many and which; STSFLOW_CHAOS_REPORT names a file for the table.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos import Chaos, Running, Target, steps_by_attempt, undisturbed
from small_recipe import write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.request import WorkerSpec

KILLS = int(os.environ.get("STSFLOW_CHAOS_KILLS", "24"))
SEED = int(os.environ.get("STSFLOW_CHAOS_SEED", "20"))
STEPS, EVERY = 600, 20
LONGEST_MINUTES = 25
TARGETS: tuple[Target, ...] = ("trainer", "flow", "everything")


@dataclass
class Kill:
    """One SIGKILL."""

    target: Target
    moment: str
    step: int
    lived_on: float


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_MINUTES * 60 + 600)
def test_kills_at_random_moments_lose_nothing(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    deadline = time.monotonic() + LONGEST_MINUTES * 60
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    kills: list[Kill] = []
    trainings: list[str] = []
    while len(kills) < KILLS:
        assert time.monotonic() < deadline, f"{len(kills)} kills in {LONGEST_MINUTES} minutes"
        seed = 100 + len(trainings)
        chaos = _round(tmp_path / f"round-{seed}", recipe, seed)
        _until_it_ends(chaos, chance, kills)
        trainings.append(_check(chaos, tmp_path / f"control-{seed}"))
        with capsys.disabled():
            print(f"\n{len(kills)} kills; {trainings[-1]}", flush=True)
    table = _table(kills, trainings)
    with capsys.disabled():
        print("\n" + table)
    if report := os.environ.get("STSFLOW_CHAOS_REPORT"):
        Path(report).write_text(table, encoding="utf-8")


def _round(place: Path, recipe: Path, seed: int) -> Chaos:
    place.mkdir()
    settings = {
        "training.seed": seed, "training.max_steps": STEPS, "training.epochs": 100, "training.eval_steps": EVERY,
        "evaluation.resamples": 50, "release.register_as": "null", "release.rules": "[]", "tracking.log_model": "false",
    }  # fmt: skip
    arguments = tuple(part for name, value in settings.items() for part in ("--set", f"{name}={value}"))
    return Chaos(Workspace(place / ".stsflow"), recipe, arguments)


def _until_it_ends(chaos: Chaos, chance: random.Random, kills: list[Kill]) -> None:
    """Start it again and again, and kill it each time until it is through, or until there were kills enough."""
    while len(kills) < KILLS:
        running = chaos.start()
        target = chance.choice(TARGETS)
        moment = _wait(running, chance)
        if running.process.poll() is not None:
            _, errors = running.end(timeout=60)
            assert running.process.returncode == 0, errors
            return
        if target == "trainer" and running.trainer() is None:
            target = "flow"
        step = max((event.step or 0 for event in chaos.events), default=0)
        code, _, errors, lived_on = running.kill(target)
        assert code != 0, errors
        assert "Traceback" not in errors, errors
        kills.append(Kill(target, moment, step, lived_on))
    chaos.run()


def _wait(running: Running, chance: random.Random) -> str:
    """Wait for a random moment: of the whole run one time in four, else of the training."""
    if chance.random() < 0.25:
        seconds = chance.uniform(0.5, 30.0)
        _sleep(running, seconds)
        return "any"
    seen = len([event for event in running.chaos.events if event.kind == "phase" and event.text == "train"])
    while running.process.poll() is None:
        begun = [event for event in running.chaos.events if event.kind == "phase" and event.text == "train"]
        if len(begun) > seen:
            break
        time.sleep(0.02)
    _sleep(running, chance.uniform(0.0, 3.0))
    return "training"


def _sleep(running: Running, seconds: float) -> None:
    deadline = time.monotonic() + seconds  # the moment is random on purpose
    while time.monotonic() < deadline and running.process.poll() is None:
        time.sleep(0.01)


def _check(chaos: Chaos, control: Path) -> str:
    """Everything that has to be true of a run that got through; a line about it."""
    (state,) = chaos.states
    run = Store(chaos.workspace).run(state.mlflow_run_id)
    assert state.status == "finished" and run.info.status == "FINISHED"
    assert len(Store(chaos.workspace).client.search_runs([state.experiment_id])) == 1
    points = chaos.points(state.mlflow_run_id)
    assert points["train/loss"] == list(range(2, STEPS + 1, 2))
    assert points["eval/sts-dev/spearman_cosine"] == list(range(EVERY, STEPS + 1, EVERY))
    flows = Counter(chaos.flow_states().values())
    assert not set(flows) & {"RUNNING", "PENDING", "SCHEDULED"}, flows
    assert chaos.unfinished_task_runs() == 0
    steps = steps_by_attempt(chaos.events)
    assert len(steps) == 1 or max(steps.values()) < STEPS, steps
    assert chaos.training is not None
    whole = undisturbed(WorkerSpec.load(chaos.training.spec), control)
    assert run.data.tags["stsflow.model_digest"] == whole.model_digest
    return (
        f"{len(steps)} trainers did {sum(steps.values())} steps of {STEPS}, attempts {state.attempt}; weights equal; "
        f"flows {dict(flows)}"
    )


def _table(kills: list[Kill], trainings: list[str]) -> str:
    lines = [
        "| killed | moment | times | steps done, lowest to highest | longest any process lived on |",
        "|---|---|--:|---|--:|",
    ]
    groups = sorted({(kill.target, kill.moment) for kill in kills})
    for target, moment in groups:
        chosen = [kill for kill in kills if (kill.target, kill.moment) == (target, moment)]
        steps = f"{min(k.step for k in chosen)} to {max(k.step for k in chosen)}"
        lines.append(f"| {target} | {moment} | {len(chosen)} | {steps} | {max(k.lived_on for k in chosen):.1f} s |")
    return "\n".join([*lines, "", *(f"- {line}" for line in trainings), ""])
