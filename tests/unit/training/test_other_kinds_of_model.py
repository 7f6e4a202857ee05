"""The trainer's additions go over any trainer of the library: here over that of cross-encoders."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from models import SENTENCES
from transformers import set_seed

from stsflow.tasks.batching.ledger import Ledger
from stsflow.tasks.batching.multi import TrainingBatches
from stsflow.tasks.batching.plain import RandomBatches
from stsflow.tasks.made.folder import what_is_wrong
from stsflow.tasks.models.kinds import CrossEncoder
from stsflow.tasks.training.energy import EnergyMeter
from stsflow.tasks.training.events import EventLog, read_events
from stsflow.tasks.training.reporter import Reporter
from stsflow.tasks.training.trainer import ExactTrainer, trainer_of

ROWS = 24


class TrainedCrossEncoder(CrossEncoder):
    """A kind of model that helps to train others, as it would be if it were trained itself."""

    def load(self, path: Path, *, device: str, remote_code: bool) -> Any:
        from sentence_transformers import CrossEncoder

        return CrossEncoder(
            str(path), num_labels=1, device=device, local_files_only=True, trust_remote_code=remote_code
        )

    def save(self, model: Any, folder: Path) -> None:
        model.save_pretrained(str(folder), create_model_card=False)

    def trainer_class(self) -> type[Any]:
        from sentence_transformers.cross_encoder import CrossEncoderTrainer

        return CrossEncoderTrainer

    def arguments_class(self) -> type[Any]:
        from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

        return CrossEncoderTrainingArguments


def labelled_pairs() -> DatasetDict:
    chooser = random.Random(1)
    texts = [chooser.sample(SENTENCES, 2) for _ in range(ROWS)]
    first, second = zip(*texts, strict=True)
    labels = [float(row % 2) for row in range(ROWS)]
    return DatasetDict({"pairs": Dataset.from_dict({"sentence1": first, "sentence2": second, "label": labels})})


def trainer_in(folder: Path, base: Path, resume: Path | None = None) -> ExactTrainer:
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    kind, sets = TrainedCrossEncoder(), labelled_pairs()
    set_seed(7)
    model = kind.load(base, device="cpu", remote_code=False)
    batches = TrainingBatches(
        names=("pairs",), sources=(RandomBatches(ROWS, 4, drop_last=False, seed=7, stream=0),), order="proportional",
        world_size=1, seed=7,
    )  # fmt: skip
    arguments = kind.arguments_class()(
        output_dir=str(folder), max_steps=4, learning_rate=1e-3, use_cpu=True, report_to="none", disable_tqdm=True,
        save_strategy="steps", save_steps=2, logging_strategy="no", seed=7,
    )  # fmt: skip
    trainer = trainer_of(kind)(
        checkpoints=folder, keep=5, ledger=Ledger({"pairs": ROWS}), batches=batches, parts={"pairs": 2}, resume=resume,
        model=model, args=arguments, train_dataset=sets, loss={"pairs": BinaryCrossEntropyLoss(model)},
    )  # fmt: skip
    trainer.add_callback(
        Reporter(trainer, EventLog(folder / "events.jsonl", 2 if resume else 1), "", None, 0.0, EnergyMeter())
    )
    return trainer


def weights(trainer: ExactTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_a_cross_encoder_goes_on_from_a_sealed_checkpoint_to_the_same_bits(small_bert: Path, tmp_path: Path) -> None:
    whole = trainer_in(tmp_path / "whole", small_bert)
    whole.train()
    checkpoint = tmp_path / "whole" / "checkpoint-2"
    assert what_is_wrong(checkpoint) == ""
    assert json.loads((checkpoint / "stsflow.json").read_text())["batches_in_epoch"] == 2
    resumed = trainer_in(tmp_path / "whole", small_bert, checkpoint)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    expected, found = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert (resumed.ledger.batches, resumed.ledger.rows_fed) == ({"pairs": 4}, {"pairs": 16})
    assert resumed.mean_loss() == pytest.approx(whole.mean_loss(), rel=1e-6)
    events = read_events(tmp_path / "whole" / "events.jsonl")
    assert [event.step for event in events if event.kind == "checkpoint"] == [2, 4]  # those after the resume are there
