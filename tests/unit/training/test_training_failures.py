"""Each way of failing: what the person reads, what is left on the disk, and that it can go on."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models import build_tiny_model

from stsflow.tasks.ground.child import run_child as real_run_child
from stsflow.tasks.ground.errors import (
    DiskFull,
    LossNotFinite,
    OutOfMemory,
    PreconditionError,
    TrainerHung,
    TrainerKilled,
    TrainingFailed,
)
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.losses import CachedMultipleNegativesRanking, CosineSimilarity, MultipleNegativesRanking
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.training import launchers, run
from stsflow.tasks.training.checkpoints import last_whole
from stsflow.tasks.training.events import read_events
from stsflow.tasks.training.memory import what_changes, with_less_memory
from stsflow.tasks.training.request import TrainingRequest, WorkerSpec
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.trainer import ExactTrainer
from stsflow.tasks.training.worker import Failure, failure_of

MakeRequest = Callable[..., TrainingRequest]


def break_batches(monkeypatch: pytest.MonkeyPatch, breaks: Callable[[dict[str, Any]], Exception | None]) -> None:
    """Make the loss of the inputs for which `breaks` gives an error raise it."""
    original = ExactTrainer.compute_loss

    def compute_loss(self: ExactTrainer, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        error = breaks(inputs)
        if error is not None:
            raise error
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(ExactTrainer, "compute_loss", compute_loss)


def rows_in(inputs: dict[str, Any]) -> int:
    lengths = next(value for name, value in inputs.items() if name.endswith("cu_seq_lens_q"))
    return len(lengths) - 1


@pytest.mark.usefixtures("in_this_process")
def test_a_loss_that_is_not_finite_names_batch_and_rows_and_keeps_the_last_checkpoint(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = ExactTrainer.compute_loss, 0

    def compute_loss(self: ExactTrainer, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        loss = original(self, *args, **kwargs)
        return loss * float("nan") if calls == 7 else loss

    monkeypatch.setattr(ExactTrainer, "compute_loss", compute_loss)
    with pytest.raises(LossNotFinite) as error:
        train_in_child(request_of(eval_steps=3), training_folder)
    failed = Failure.load(training_folder.root / "failure.json")
    assert failed.batch == 6
    assert failed.rows and set(failed.rows) <= set(range(45))
    place = f"in batch 6 of epoch 0 of {failed.set} (rows {', '.join(map(str, failed.rows))})"
    assert f"Training stopped {place}: the loss is nan." in error.value.message
    assert "The last checkpoint, of step 6, is kept" in error.value.message
    assert last_whole(training_folder.checkpoints) == (training_folder.checkpoints / "checkpoint-6", [])
    assert not training_folder.result.exists() and not training_folder.model.exists()


@pytest.mark.usefixtures("in_this_process")
def test_spoiled_weights_never_become_a_checkpoint(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = ExactTrainer.training_step, 0

    def step(self: ExactTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = original(self, *args, **kwargs)
        if calls == 8:
            for weight in self.model.parameters():
                if weight.grad is not None:
                    weight.grad.fill_(float("inf"))
        return loss

    monkeypatch.setattr(ExactTrainer, "training_step", step)
    with pytest.raises(LossNotFinite, match=r"the (weights of .* are not finite|loss is nan)"):
        train_in_child(request_of(eval_steps=4), training_folder)
    assert last_whole(training_folder.checkpoints)[0] == training_folder.checkpoints / "checkpoint-4"
    assert not list(training_folder.checkpoints.glob(".staging-*"))


@pytest.mark.usefixtures("in_this_process")
def test_out_of_memory_is_answered_with_half_the_micro_batch_and_said(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory that takes one pair at a time, but any triplets: pairs are computed in four parts, the loss the same."""

    def breaks(inputs: dict[str, Any]) -> Exception | None:
        too_many = inputs["dataset_name"] == "sts" and rows_in(inputs) > 1
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.") if too_many else None

    break_batches(monkeypatch, breaks)
    result = train_in_child(request_of(choose=False), training_folder)
    assert (result.attempts, result.steps) == (3, 40)
    assert [finding.message for finding in result.findings] == [
        "out of memory: batches of sts are computed 2 rows at a time instead of 4, and their gradients added up; "
        "the loss is the same",
        "out of memory: batches of sts are computed 1 rows at a time instead of 2, and their gradients added up; "
        "the loss is the same",
    ]
    assert WorkerSpec.load(training_folder.spec).parts == {"sts": 4}
    kinds = [event.details["kind"] for event in read_events(training_folder.events) if event.kind == "failure"]
    assert kinds == ["OutOfMemory", "OutOfMemory"]


@pytest.mark.usefixtures("in_this_process")
def test_in_parts_the_same_is_learned(request_of: MakeRequest, tmp_path: Path) -> None:
    """Without dropout, and at the same precision, parts differ from the whole by rounding alone."""
    from safetensors.torch import load_file

    request = request_of(choose=False, max_steps=6, precision="float32", optimizer="sgd", learning_rate=0.1)
    # Plain SGD: Adam makes a step of full size out of a gradient that is nothing but rounding.
    undisturbed = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    request = without_dropout(request, tmp_path, undisturbed)
    whole, parts = TrainingFolder(tmp_path / "whole"), TrainingFolder(tmp_path / "parts")
    train_in_child(request, whole)
    spec = WorkerSpec(request=request, fingerprint=request.fingerprint, folder=parts.root, attempt=1, parts={"sts": 2})
    parts.root.mkdir()
    spec.write(parts.spec)
    train_in_child(request, parts)
    one, other = (load_file(str(folder.model / "model.safetensors")) for folder in (whole, parts))
    assert any(not torch.equal(one[name], other[name]) for name in one)  # it was computed another way
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-4)


def without_dropout(request: TrainingRequest, folder: Path, change: dict[str, float]) -> TrainingRequest:
    """The request on a copy of its base model whose configuration has `change`."""
    import json
    import shutil

    path = folder / "base"
    shutil.copytree(request.base.path, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | change))
    return request.model_copy(update={"base": request.base.model_copy(update={"path": path})})


@pytest.mark.usefixtures("in_this_process")
def test_out_of_memory_of_in_batch_negatives_is_refused_with_the_remedy(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_batches(
        monkeypatch,
        lambda inputs: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        if inputs["dataset_name"] == "nli" else None,
    )  # fmt: skip
    with pytest.raises(OutOfMemory) as error:
        train_in_child(request_of(choose=False), training_folder)
    assert re.search(r"Out of memory in batch \d of epoch 0 of nli \(rows (\d+, ){3}\d+\): ", error.value.message)
    assert "use kind: cached_multiple_negatives_ranking (the same loss at any batch size)" in error.value.message
    assert len([event for event in read_events(training_folder.events) if event.text == "train"]) == 1


def spec_of(request: TrainingRequest, folder: TrainingFolder) -> WorkerSpec:
    folder.root.mkdir(parents=True, exist_ok=True)
    return WorkerSpec(request=request, fingerprint="f", folder=folder.root, attempt=1)


def test_a_cached_loss_takes_smaller_mini_batches(request_of: MakeRequest, training_folder: TrainingFolder) -> None:
    losses = {"nli": CachedMultipleNegativesRanking(mini_batch_size=32), "sts": CosineSimilarity()}
    spec = spec_of(request_of(losses=losses), training_folder)
    lighter = with_less_memory(spec, "nli")
    assert lighter is not None
    assert lighter.loss_of("nli") == CachedMultipleNegativesRanking(mini_batch_size=16)
    assert lighter.loss_of("sts") == CosineSimilarity()
    assert what_changes(spec, lighter, "nli") == (
        "out of memory: the loss of nli encodes half as many rows at a time as before; its value is the same"
    )


def test_on_out_of_memory_fail_never_tries_again(request_of: MakeRequest, training_folder: TrainingFolder) -> None:
    spec = spec_of(request_of(on_out_of_memory="fail"), training_folder)
    assert with_less_memory(spec, "sts") is None


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A real child in the trainer's place."""
    monkeypatch.setattr(launchers, "python_module", lambda *_: [sys.executable, "-c", program])
    monkeypatch.setattr(run, "run_child", lambda *a, **k: real_run_child(*a, grace_seconds=1.0, **k))


def test_a_trainer_that_says_nothing_is_ended(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, "print('about to hang', flush=True); import signal; signal.pause()")
    with pytest.raises(TrainerHung) as error:
        train_in_child(request_of(hang_timeout_seconds=1.0), training_folder)
    assert "The trainer was stopped: no event for 1 seconds (training.hang_timeout_seconds: 1)." in error.value.message
    assert "There is no checkpoint yet." in error.value.message
    assert error.value.message.endswith("about to hang")


def test_the_time_limit_ends_it(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, "import signal; signal.pause()")
    with pytest.raises(TrainingFailed, match=r"The trainer was stopped: training.timeout_seconds \(0.5\) is over\."):
        train_in_child(request_of(timeout_seconds=0.5), training_folder)


def test_whoever_asks_it_to_stop_is_heard(
    request_of: MakeRequest, training_folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, "import signal; signal.pause()")
    with pytest.raises(TrainingFailed, match=r"The trainer was stopped: the run was cancelled\."):
        train_in_child(request_of(), training_folder, should_stop=lambda: "the run was cancelled")


@pytest.mark.parametrize(
    ("program", "kind", "sentence"),
    [
        ("import os; os.kill(os.getpid(), 9)", TrainerKilled, "ended by signal 9, which stsflow did not send"),
        ("print('why'); raise SystemExit(3)", TrainingFailed, "The trainer ended with exit code 3 and no model."),
        (
            "raise SystemExit('OSError: [Errno 28] No space left on device')", DiskFull, "The disk of",
        ),
    ],
)  # fmt: skip
def test_an_end_without_a_word_is_told_apart(
    program: str, kind: type[Exception], sentence: str, request_of: MakeRequest, training_folder: TrainingFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    child(monkeypatch, program)
    with pytest.raises(kind) as error:
        train_in_child(request_of(), training_folder)
    assert sentence in str(error.value)
    assert str(training_folder.log) in str(error.value)


def test_full_disks_are_recognised_in_every_writer_s_words(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    plain = OSError(errno.ENOSPC, "No space left on device")
    wrapped = RuntimeError("while saving")
    wrapped.__cause__ = plain
    rust = Exception("Error while serializing: I/O error: No space left on device (os error 28)")
    assert [failure_of(error, folder).code for error in (plain, wrapped, rust)] == ["disk_full"] * 3
    assert failure_of(ValueError("else"), folder) == Failure(code="error", message="ValueError: else")


def test_a_disk_without_room_for_the_checkpoints_is_refused(
    request_of: MakeRequest, training_folder: TrainingFolder
) -> None:
    request = request_of(keep_checkpoints=3)
    huge = request.model_copy(update={"base": request.base.model_copy(update={"parameters": 10**15})})
    with pytest.raises(PreconditionError) as error:
        train_in_child(huge, training_folder)
    assert f"The disk of {training_folder.root} has" in error.value.message
    assert "5 checkpoints (training.keep_checkpoints: 3" in error.value.message
    assert "need 59604644.78 GiB" in error.value.message  # 5 of 12 bytes a weight, and the model's 4
    assert not training_folder.spec.exists()


def test_what_the_hardware_cannot_do_is_refused(request_of: MakeRequest) -> None:
    with pytest.raises(PreconditionError, match=r"training\.precision is `fp16`, which needs a GPU"):
        request_of(precision="fp16").fingerprint  # noqa: B018


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("architecture", ["gte", "mpnet"])
def test_other_architectures_train_by_the_same_way(
    architecture: Any,
    request_of: MakeRequest,
    training_folder: TrainingFolder,
    tmp_path: Path,
    base_of: Callable[..., BaseModelRef],
) -> None:
    path = build_tiny_model(tmp_path / architecture, architecture)
    request = request_of(max_steps=6, eval_steps=3).model_copy(update={"base": base_of(path, architecture)})
    assert not request.base.trust_remote_code
    result = train_in_child(request, training_folder)
    levers = {lever.name: lever for lever in result.levers}
    assert (result.steps, result.dimension) == (6, 32)
    assert levers["padding_free"].chosen == ("on" if architecture == "gte" else "off")
    assert levers["merge_columns"].chosen == levers["padding_free"].chosen
    if architecture == "gte":
        assert levers["padding_free"].proof["flattened_batches"] >= 6
        assert levers["merge_columns"].proof == {"merged_batches": 6.0}


@pytest.mark.usefixtures("in_this_process")
def test_the_record_says_what_ran(request_of: MakeRequest, training_folder: TrainingFolder) -> None:
    request = request_of(
        eval_steps=5, learning_rate=2e-5, arguments={"adam_beta2": 0.98},
        losses={"nli": MultipleNegativesRanking(), "sts": CosineSimilarity()},
    )  # fmt: skip
    result = train_in_child(request, training_folder)
    assert (result.steps, result.epochs, result.choose_metric) == (40, 2.0, "sts-dev_spearman_cosine")
    by_metric = {row.step: row.metric for row in result.log if row.metric is not None}
    assert sorted(by_metric) == list(range(5, 41, 5))
    assert result.best_metric == max(by_metric.values()) == by_metric[result.best_step or 0]
    assert [row.step for row in result.log if row.loss is not None] == [*range(3, 40, 3), 40]
    assert result.hyperparameters["adam_beta2"] == 0.98
    assert {"adam_beta2", "learning_rate", "batch_sampler", "num_train_epochs"} <= set(result.non_default)
    assert "seed" not in result.non_default
    assert [(item.name, item.rows_seen, item.unique_rows_seen) for item in result.exposure] == [
        ("nli", 90, 45), ("sts", 60, 30),
    ]  # fmt: skip
    assert all(len(sentences) >= 2 for sentences in result.widget)
    assert "Pooling" in result.architecture
    assert result.environment["threads"] == "1"
    assert (training_folder.model / "model.safetensors").is_file()
    assert not (training_folder.model / "README.md").exists()
    assert not list(training_folder.root.rglob("training_args.bin"))  # a pickle


@pytest.mark.usefixtures("in_this_process")
def test_a_token_budget_fills_batches_and_the_mini_batches_of_cached_losses(
    request_of: MakeRequest, training_folder: TrainingFolder
) -> None:
    losses = {"nli": CachedMultipleNegativesRanking(), "sts": CosineSimilarity()}
    request = request_of(losses=losses, batch_tokens=64, batch_size=16, epochs=1, choose=False)
    result = train_in_child(request, training_folder)
    exposure = {item.name: item for item in result.exposure}
    assert exposure["nli"].batches == 3  # 45 rows, 16 at a time: the budget is for the encoder's mini-batches
    assert exposure["sts"].batches > 2  # 30 rows of some 20 tokens and more
    assert result.findings == ()
