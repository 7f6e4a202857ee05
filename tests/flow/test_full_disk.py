"""The disk fills up while it trains: said so, nothing torn, and the run goes on after space is made."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import Chaos, undisturbed
from small_recipe import write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.checkpoints import last_whole
from stsflow.tasks.training.request import WorkerSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 MB; skips where mounting is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted, run as root where mounting is allowed: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_fills_up_is_said_and_the_run_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, tiny_bert: Path
) -> None:
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    arguments = ("--set", "training.max_steps=300", "--set", "training.epochs=100", "--set", "training.eval_steps=20",
                 "--set", "release.register_as=null", "--set", "release.rules=[]")  # fmt: skip
    chaos = Chaos(Workspace(small_disk / ".stsflow"), recipe, arguments)
    running = chaos.start()
    running.wait_for(lambda: any(event.kind == "checkpoint" for event in chaos.events))
    filler = small_disk / "filler"
    _fill(filler)
    _, errors = running.end(timeout=200)
    assert running.process.returncode == 1, errors
    assert "is full" in " ".join(errors.split()), errors
    assert chaos.training is not None and not chaos.training.result.exists() and not chaos.training.model.exists()
    checkpoint, passed_over = last_whole(chaos.training.checkpoints)
    assert checkpoint is not None and passed_over == []

    again = chaos.start()
    _, refused = again.end(timeout=200)
    assert again.process.returncode == 2, refused
    assert "free" in refused and "Traceback" not in refused

    filler.unlink()
    result = chaos.run()
    spec = WorkerSpec.load(chaos.training.spec)
    run = Store(chaos.workspace).run(str(result["mlflow_run_id"]))
    assert run.info.status == "FINISHED"
    assert run.data.tags["stsflow.model_digest"] == undisturbed(spec, tmp_path / "control").model_digest


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        size = 1 << 20
        while size:
            try:
                stream.write(bytes(size))
            except OSError:
                size //= 2
