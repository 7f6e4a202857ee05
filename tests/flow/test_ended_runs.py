"""Runs that a person stops or that fail by themselves: what is said, what is left, and that no secret gets anywhere."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from chaos import Chaos
from patience import patience
from small_recipe import stsflow, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.checkpoints import last_whole

SECRETS = {
    "HF_TOKEN": "hf_PlantedTokenOfTheHub0123456789",
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_TRACKING_PASSWORD": "PlantedPasswordOfTheTracker",
    "PREFECT_API_KEY": "pnu_PlantedKeyOfTheOrchestrator",
    "AWS_SECRET_ACCESS_KEY": "PlantedKeyOfTheArtifactStore",
}
PLANTED = [value for name, value in SECRETS.items() if name != "MLFLOW_TRACKING_USERNAME"] + ["PlantedInAnAddress"]


@dataclass
class Ended:
    """One recipe's workspace in which runs end badly, and everything that they printed."""

    chaos: Chaos
    printed: list[str]

    def training(self, seed: int, **settings: object) -> Chaos:
        """The recipe under another seed, which makes it a run and a training of its own."""
        given = {"training.seed": seed} | {name.replace("__", "."): value for name, value in settings.items()}
        more = tuple(part for name, value in given.items() for part in ("--set", f"{name}={value}"))
        one = self.chaos
        return Chaos(one.workspace, one.recipe, (*one.arguments, *more), one.variables)

    def run(self, seed: int, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        chaos = self.training(seed, **settings)
        done = stsflow(chaos.workspace.root, "run", str(chaos.recipe), "--json", *chaos.arguments, **chaos.variables)
        self.printed += [done.stdout, done.stderr]
        return done

    def last_state(self) -> str:
        """State of the newest flow run in Prefect."""
        return list(self.chaos.flow_states().values())[-1]

    def slots_held(self) -> int:
        """Training slots that Prefect counts as taken."""
        with sqlite3.connect(self.chaos.workspace.prefect_home / "prefect.db") as database:
            return int(database.execute("select sum(active_slots) from concurrency_limit_v2").fetchone()[0] or 0)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Ended:
    place = tmp_path_factory.mktemp("ended")
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    arguments = ("--set", "training.max_steps=400", "--set", "training.epochs=200", "--set", "release.register_as=null",
                 "--set", "release.rules=[]")  # fmt: skip
    return Ended(Chaos(Workspace(place / ".stsflow"), recipe, arguments, dict(SECRETS)), [])


def _stop(ended: Ended, seed: int, number: signal.Signals) -> tuple[int, str]:
    chaos = ended.training(seed)
    before = {path.name for path in chaos.workspace.root.glob("trainings/*")}
    running = chaos.start()
    running.wait_for(lambda: any(
        path.name not in before and list(path.glob("checkpoints/checkpoint-*")) for path in
        chaos.workspace.root.glob("trainings/*")
    ))  # fmt: skip
    family = running.family()
    os.killpg(running.process.pid, number)  # a terminal's Ctrl-C reaches the whole group
    output, errors = running.end(timeout=60)
    ended.printed += [output, errors]
    _, alive = psutil.wait_procs(family, timeout=patience(10))
    assert not alive and output == ""
    return running.process.returncode, " ".join(errors.split())


@pytest.mark.parametrize(
    ("seed", "number"), [(11, signal.SIGINT), pytest.param(12, signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_run_is_cancelled_everywhere_and_keeps_its_checkpoint(
    ended: Ended, seed: int, number: signal.Signals
) -> None:
    code, errors = _stop(ended, seed, number)
    assert code == 130 and "Traceback" not in errors, errors
    assert "is kept: the same command goes on from there" in errors
    assert "stopped; what was done is kept, and the same command continues it" in errors
    state = ended.chaos.states[-1]
    assert state.training is not None
    newest = max(ended.chaos.states, key=lambda one: one.started)
    run = Store(ended.chaos.workspace).run(newest.mlflow_run_id)
    assert newest.status == "cancelled" and run.info.status == "KILLED"
    assert run.data.tags["stsflow.ended_because"] == "cancelled"
    assert ended.last_state() == "CANCELLED" and ended.chaos.unfinished_task_runs() == 0 and ended.slots_held() == 0
    checkpoint, passed_over = last_whole(ended.chaos.workspace.training(str(newest.training)).checkpoints)
    assert checkpoint is not None and passed_over == []
    import torch

    torch.load(checkpoint / "optimizer.pt", weights_only=True)  # raises where there is anything but tensors


def test_a_loss_that_is_not_finite_ends_the_run_with_batch_and_rows(ended: Ended) -> None:
    # Each step multiplies the weights by 1 - 10 x 10: the largest that a recipe may ask for leaves float32 soon.
    done = ended.run(13, training__learning_rate=10, training__weight_decay=10, training__max_grad_norm=0)
    assert done.returncode == 1 and done.stdout == "" and "Traceback (most recent" not in _ours(done.stderr)
    assert "Training stopped in batch" in done.stderr and "(rows " in " ".join(done.stderr.split())
    newest = max(ended.chaos.states, key=lambda one: one.started)
    run = Store(ended.chaos.workspace).run(newest.mlflow_run_id)
    assert newest.status == "failed" and run.info.status == "FAILED" and ended.last_state() == "FAILED"
    assert "Training stopped in batch" in run.data.tags["stsflow.ended_because"]
    assert run.data.tags["stsflow.trainer_log"]
    training = ended.chaos.workspace.training(str(newest.training))
    assert not training.result.exists() and not training.model.exists() and ended.slots_held() == 0


@pytest.mark.slow
def test_a_trainer_that_says_nothing_and_one_that_takes_too_long_are_ended(ended: Ended) -> None:
    hung = ended.run(14, training__hang_timeout_seconds=1)
    assert hung.returncode == 1 and "no event for" in hung.stderr and "training.hang_timeout_seconds: 1" in hung.stderr
    late = ended.run(14, training__timeout_seconds=12)
    assert late.returncode == 1 and "training.timeout_seconds (12) is over" in " ".join(late.stderr.split())
    assert ended.last_state() == "FAILED" and ended.slots_held() == 0


def test_a_password_in_an_address_is_not_repeated(ended: Ended) -> None:
    done = stsflow(
        ended.chaos.workspace.root, "run", str(ended.chaos.recipe), "--json",
        MLFLOW_TRACKING_URI="http://somebody:PlantedInAnAddress@127.0.0.1:9",
    )  # fmt: skip
    ended.printed += [done.stdout, done.stderr]
    assert done.returncode == 2 and "http://127.0.0.1:9 (MLFLOW_TRACKING_URI) does not answer" in done.stderr


def test_no_secret_is_in_anything_that_was_written_or_printed(ended: Ended) -> None:
    assert ended.chaos.states, "no run was made"
    found = [(path, secret) for path in _files(ended.chaos.workspace.root) for secret in _secrets_in(path)]
    assert found == []
    assert [secret for secret in PLANTED if any(secret in text for text in ended.printed)] == []


def test_nobody_else_can_write_what_a_run_leaves(ended: Ended) -> None:
    open_to_all = [path for path in _files(ended.chaos.workspace.root) if path.stat().st_mode & 0o002]
    assert open_to_all == []


def _files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file()]


def _secrets_in(path: Path) -> list[str]:
    content = path.read_bytes()
    return [secret for secret in PLANTED if secret.encode() in content]


def _ours(errors: str) -> str:
    """What stsflow says itself, without the trainer's log, which it quotes."""
    return errors.partition("it ends:")[0]
