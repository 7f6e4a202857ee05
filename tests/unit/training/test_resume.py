"""Whatever ends a trainer, and wherever: the next one ends with the same bits, and logs nothing twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models import build_tiny_model

from stsflow.tasks.ground.child import run_child as real_run_child
from stsflow.tasks.ground.errors import TrainerKilled
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.losses import (
    CachedGist,
    CosineSimilarity,
    DistillKLDiv,
    EmbeddingMSE,
    EmbedDistill,
    Gist,
    Loss,
    MarginMSE,
)
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.prompts import Prompts
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.training.events import Event, read_events
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.trainer import ExactTrainer

MakeRequest = Callable[..., TrainingRequest]


class PowerCut(BaseException):
    """Stands for the end of the process: nothing in the product may catch it."""


def series(folder: TrainingFolder) -> list[tuple[str, int | None, dict[str, float]]]:
    """What a tracker would be sent: kind, step and values of every point, in order."""
    kinds = ("log", "evaluation")
    return [(event.kind, event.step, event.values) for event in read_events(folder.events) if event.kind in kinds]


def cut_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """The trainer vanishes before it has trained on one batch more than `batches`."""
    original, done = ExactTrainer.training_step, 0

    def step(self: ExactTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal done
        if done == batches:
            raise PowerCut
        done += 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(ExactTrainer, "training_step", step)


SECTIONS: dict[str, dict[str, Any]] = {
    "proportional": {"multi_dataset_batch_sampler": "proportional", "eval_steps": 4, "logging_steps": 3},
    "round robin, accumulated": {
        "multi_dataset_batch_sampler": "round_robin", "gradient_accumulation_steps": 3, "eval_steps": 2,
        "logging_steps": 3, "epochs": 3,
    },
    "padded, duplicates, own pace, early stopping": {
        "batch_sampler": "batch_sampler", "padding_free": "off", "precision": "float32", "eval_steps": 6,
        "checkpoint_steps": 4, "logging_steps": 5, "early_stopping_patience": 3, "batch_sizes": {"sts": 6},
    },
    "an adapter": {
        "adapter": {"rank": 4, "dropout": 0.1, "dora": True}, "learning_rate": 1e-2, "eval_steps": 4, "epochs": 1,
    },
    "within an epoch": {"epochs": 1.5, "checkpoint_steps": 5, "logging_steps": 4, "eval_steps": 7},
}  # fmt: skip


GUIDED = {"gist": Gist(), "cached gist": CachedGist(mini_batch_size=3)}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_cut_anywhere_it_ends_with_the_same_bits(
    section: dict[str, Any], request_of: MakeRequest, tmp_path: Path
) -> None:
    ends_with_the_same_bits(request_of(**section), tmp_path)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("loss", GUIDED.values(), ids=GUIDED)
def test_with_a_guide_it_ends_with_the_same_bits(loss: Loss, request_of: MakeRequest, tmp_path: Path) -> None:
    guide = build_tiny_model(tmp_path / "guide", "bert", seed=11)
    losses = {"nli": loss, "sts": CosineSimilarity()}
    ends_with_the_same_bits(request_of(losses=losses, guide=guide, eval_steps=4, epochs=1), tmp_path)


TAUGHT: dict[str, tuple[Loss, str]] = {
    "margin_mse": (MarginMSE(), "scores"), "distill_kl_div": (DistillKLDiv(), "scores"),
    "mse": (EmbeddingMSE(), "embedding"), "embed_distill": (EmbedDistill(), "embedding"),
}  # fmt: skip


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("loss", "teaches"), TAUGHT.values(), ids=TAUGHT)
def test_with_taught_rows_it_ends_with_the_same_bits(
    loss: Loss, teaches: str, request_of: MakeRequest, taught_set: Callable[..., PreparedSet], tmp_path: Path
) -> None:
    item = taught_set(teaches)
    request = request_of(losses={item.name: loss}, sets=(item,), eval_steps=4, epochs=2)
    ends_with_the_same_bits(request, tmp_path)
    fed = train_in_child(request, TrainingFolder(tmp_path / "whole"))
    counted = fed.exposure[0]
    assert (counted.rows_seen, counted.unique_rows_seen, counted.in_batch_negatives) == (90, 45, 0)  # two epochs
    assert not [finding for finding in fed.findings if finding.code == "exposure.differs"]


@pytest.mark.usefixtures("in_this_process")
def test_behind_prompts_it_ends_with_the_same_bits(request_of: MakeRequest, tmp_path: Path) -> None:
    plain = request_of(eval_steps=4, epochs=1, batch_tokens=60)
    base = plain.base.model_copy(update={"prompts": Prompts(texts={"query": "A man "}, default="query")})
    pair = {"sentence1": "A man ", "sentence2": "A man "}
    prompts = {"nli": {"anchor": "A man ", "positive": "the road "}, "sts": pair}
    ends_with_the_same_bits(plain.model_copy(update={"base": base, "prompts": prompts}), tmp_path)


def ends_with_the_same_bits(request: TrainingRequest, tmp_path: Path) -> None:
    """Cut twice and taken up again, it leaves what it leaves when nothing happens."""
    whole = train_in_child(request, TrainingFolder(tmp_path / "whole"))
    folder = TrainingFolder(tmp_path / "cut")
    for batches in (7, 10):
        with pytest.MonkeyPatch.context() as patch:
            cut_after(patch, batches)
            with pytest.raises(PowerCut):
                train_in_child(request, folder)
    result = train_in_child(request, folder)
    assert result.weights_sha256 == whole.weights_sha256
    assert result.model_digest == whole.model_digest
    assert series(folder) == series(TrainingFolder(tmp_path / "whole"))
    same = ("steps", "epochs", "best_step", "best_metric", "log", "exposure", "stopped_early", "findings")
    assert [getattr(result, name) for name in same] == [getattr(whole, name) for name in same]
    assert result.train_loss == whole.train_loss
    assert result.attempts == 3
    assert len(result.resumed_from) == 2
    assert 0 < result.resumed_from[-1] < whole.steps


@pytest.mark.usefixtures("in_this_process")
def test_cut_after_the_last_step_nothing_is_trained_again(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(eval_steps=10)
    first = train_in_child(request, training_folder)
    training_folder.result.unlink()
    cut_after(monkeypatch, 0)
    again = train_in_child(request, training_folder)
    assert (again.weights_sha256, again.steps, again.best_step) == (first.weights_sha256, first.steps, first.best_step)
    assert (again.train_loss, again.exposure, again.log) == (first.train_loss, first.exposure, first.log)


@pytest.mark.usefixtures("in_this_process")
def test_a_torn_checkpoint_is_passed_over_and_said(
    request_of: MakeRequest, training_folder: TrainingFolder, tmp_path: Path
) -> None:
    request = request_of(eval_steps=5)
    whole = train_in_child(request, TrainingFolder(tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        cut_after(patch, 17)
        with pytest.raises(PowerCut):
            train_in_child(request, training_folder)
    torn = training_folder.checkpoints / "checkpoint-15" / "optimizer.pt"
    torn.write_bytes(torn.read_bytes()[:-100])
    result = train_in_child(request, training_folder)
    assert result.resumed_from == (10,)
    assert result.weights_sha256 == whole.weights_sha256
    assert "checkpoint of step 15 is not used: optimizer.pt has" in result.findings[0].message


@pytest.mark.usefixtures("in_this_process")
def test_a_finished_training_is_found_and_a_spoiled_model_is_not(
    request_of: MakeRequest, training_folder: TrainingFolder, caplog: pytest.LogCaptureFixture
) -> None:
    request = request_of(eval_steps=20)
    first = train_in_child(request, training_folder)
    seen: list[Event] = []
    second = train_in_child(request, training_folder, on_event=seen.extend)
    assert second == first.model_copy(update={"reused": True})
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].kind == "done"
    with (training_folder.model / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x00")
    third = train_in_child(request, training_folder)
    assert (third.reused, third.weights_sha256) == (False, first.weights_sha256)
    assert len([said for said in caplog.messages if "is trained again: it is not what was recorded" in said]) == 1


@pytest.mark.usefixtures("in_this_process")
def test_killed_in_the_middle_it_ends_with_the_same_bits(
    request_of: MakeRequest, training_folder: TrainingFolder, tmp_path: Path
) -> None:
    """SIGKILL of the real child, right after its second checkpoint, with the fast levers on."""
    request = request_of(eval_steps=4)
    whole = train_in_child(request, TrainingFolder(tmp_path / "whole"))

    def kill(events: list[Event]) -> None:
        process = next((event.details["process_id"] for event in seen + events if event.kind == "phase"), None)
        seen.extend(events)
        if any(event.kind == "checkpoint" and event.step == 8 for event in events):
            os.kill(int(str(process)), signal.SIGKILL)

    seen: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stsflow.tasks.training.run.run_child", real_run_child)
        patch.setattr("stsflow.tasks.training.run.TICK_SECONDS", 0.02)
        with pytest.raises(TrainerKilled) as error:
            train_in_child(request, training_folder, on_event=kill)
    assert "The trainer was ended by signal 9, which stsflow did not send" in error.value.message
    assert "is kept: the same command goes on from there. The log is" in error.value.message
    failure = read_events(training_folder.events)[-1]
    assert (failure.kind, failure.details["kind"]) == ("failure", "TrainerKilled")
    result: TrainedModel = train_in_child(request, training_folder)
    assert result.weights_sha256 == whole.weights_sha256
    assert series(training_folder) == series(TrainingFolder(tmp_path / "whole"))
    assert result.attempts == 2
    assert result.resumed_from[0] >= 8
