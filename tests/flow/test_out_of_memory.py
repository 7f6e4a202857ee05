"""Memory really runs out in the trainer: the run goes on with smaller parts, or ends with the remedy.

The whole command runs under a limit of its data segment (RLIMIT_DATA), which makes the allocation of a large batch fail
as it does on a machine that has no more memory. Padded float32 batches of 1,024 rows need about 2 GB beyond what the
libraries take.
"""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from chaos import Chaos
from models import build_tiny_model
from patience import patience
from small_recipe import command, environment, result_of, write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.training.request import WorkerSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT = 3 * 2**30
ROWS = 1024


@pytest.fixture(scope="module")
def wide_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "wide", "bert", dimension=64)


def limited_run(place: Path, model: Path, *settings: str) -> tuple[Chaos, subprocess.CompletedProcess[str]]:
    """`stsflow run` of four steps under the limit, padded and in float32."""
    common = ("training.padding_free=off", "training.precision=float32", "training.max_steps=4",
              "training.eval_steps=2", "release.register_as=null", "release.rules=[]")  # fmt: skip
    arguments = tuple(part for setting in (*common, *settings) for part in ("--set", setting))
    chaos = Chaos(Workspace(place / ".stsflow"), write_small_recipe(place / "small.yaml", model), arguments)
    done = subprocess.run(
        command(["run", str(chaos.recipe), "--json", *arguments]),
        cwd=place, env=environment(chaos.workspace.root), capture_output=True, text=True, timeout=patience(500),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    )  # fmt: skip
    return chaos, done


def test_a_loss_that_is_a_mean_of_rows_goes_on_in_smaller_parts(tmp_path: Path, wide_bert: Path) -> None:
    chaos, done = limited_run(
        tmp_path, wide_bert, f"data.train.sts.source.rows={ROWS}", f"training.batch_sizes={{sts: {ROWS}}}"
    )
    run = Store(chaos.workspace).run(str(result_of(done)["mlflow_run_id"]))
    printed = " ".join(done.stderr.split())
    assert "Out of memory in batch 1 of epoch 0 of sts (rows 0, 1, 2, " in printed
    assert f"{ROWS // 2} rows at a time instead of {ROWS}, and their gradients added up" in printed
    assert "Traceback" not in done.stderr
    assert run.info.status == "FINISHED"
    assert chaos.training is not None
    assert WorkerSpec.load(chaos.training.spec).parts["sts"] >= 2
    assert chaos.points(run.info.run_id)["train/loss"] == [2, 4]
    assert set(chaos.flow_states().values()) == {"COMPLETED"}


def test_a_loss_of_in_batch_negatives_ends_the_run_with_the_remedy(tmp_path: Path, wide_bert: Path) -> None:
    chaos, done = limited_run(
        tmp_path, wide_bert, f"data.train.nli.source.rows={3 * ROWS}", f"training.batch_sizes={{nli: {ROWS}}}"
    )
    assert done.returncode == 1, done.stderr
    printed = " ".join(done.stderr.split())
    assert "Out of memory in batch 0 of epoch 0 of nli (rows " in printed
    assert "use kind: cached_multiple_negatives_ranking (the same loss at any batch size)" in printed
    assert chaos.training is not None and not chaos.training.result.exists() and not chaos.training.model.exists()
    assert list(chaos.flow_states().values()) == ["FAILED"]
    (state,) = chaos.states
    assert state.mlflow_run_id is not None
    assert Store(chaos.workspace).run(state.mlflow_run_id).info.status == "FAILED"
