"""Every loss of the family: equal with and without padding, and cut and taken up again it ends with the same bits.

A new loss is here by itself; one that needs arguments has them in tests/fixtures/every_loss.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from every_loss import examples, roles_for, rows_for
from models import build_tiny_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.data_collator import BaseDataCollator

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.losses import Loss
from stsflow.tasks.models.merge_columns import MergedColumns
from stsflow.tasks.models.padding_free import counters, enable_padding_free
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.shapes import Roles
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.trainer import ExactTrainer

MakeRequest = Callable[..., TrainingRequest]
every_loss = pytest.mark.parametrize("loss", examples().values(), ids=examples())


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("guides") / "bert", "bert", seed=11)


def load(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu").eval()


def value_and_gradient(
    loss: Loss, roles: Roles, model: SentenceTransformer, guide: Path
) -> tuple[torch.nn.Module, float, torch.Tensor]:
    """Of one batch, as the trainer's collator makes it."""
    built: Any = loss.build(model, load(guide) if loss.needs_guide else None)
    if loss.is_of_embeddings_alone:
        built = MergedColumns(built)
    columns = rows_for(roles, 6)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    batch = BaseDataCollator(model.preprocess)(rows)
    labels = batch.pop("label", None)
    prefixes = [f"{name}_" for name in roles.texts]
    features = [{k.removeprefix(p): v for k, v in batch.items() if k.startswith(p)} for p in prefixes]
    random.seed(3)  # layers and dimensions are drawn
    value = built(features, labels)
    value.backward()
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return built, value.item(), torch.cat(gradients)


@every_loss
def test_without_padding_and_in_one_pass_it_is_what_it_is_with_padding(
    loss: Loss, small_bert: Path, guide: Path
) -> None:
    roles = roles_for(loss)
    _, expected, its_gradient = value_and_gradient(loss, roles, load(small_bert), guide)
    flat = load(small_bert)
    enable_padding_free(flat, "on", "cpu", "float32")
    built, found, gradient = value_and_gradient(loss, roles, flat, guide)
    assert expected != 0
    assert found == pytest.approx(expected, rel=1e-5)
    assert float((gradient - its_gradient).norm() / its_gradient.norm()) < 1e-4
    assert counters(flat)["flattened_batches"] > 0 and counters(flat)["padded_batches"] == 0
    assert getattr(built, "merged_batches", 0) == int(loss.is_of_embeddings_alone and len(roles.texts) > 1)


class PowerCut(BaseException):
    """Stands for the end of the process: nothing in the product may catch it."""


def set_for(roles: Roles, folder: Path, like: PreparedSet) -> PreparedSet:
    """A training set of these roles on the disk."""
    from datasets import Dataset

    rows = rows_for(roles, 24)
    Dataset.from_dict(rows).save_to_disk(str(folder))
    return like.model_copy(update={"path": folder, "roles": roles, "columns": tuple(rows), "rows": 24})


@pytest.mark.usefixtures("in_this_process")
@every_loss
def test_cut_and_taken_up_again_it_ends_with_the_same_bits(
    loss: Loss, request_of: MakeRequest, guide: Path, tmp_path: Path
) -> None:
    request = request_of(
        choose=False,
        guide=guide if loss.needs_guide else None,
        losses={"nli": loss},
        batch_size=5,
        checkpoint_steps=2,
        epochs=1,
    )
    request = request.model_copy(update={"sets": (set_for(roles_for(loss), tmp_path / "rows", request.sets[0]),)})
    whole = train_in_child(request, TrainingFolder(tmp_path / "whole"))
    cut, original, done = TrainingFolder(tmp_path / "cut"), ExactTrainer.training_step, 0

    def step(self: ExactTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal done
        done += 1
        if done == 4:
            raise PowerCut
        return original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExactTrainer, "training_step", step)
        with pytest.raises(PowerCut):
            train_in_child(request, cut)
    again = train_in_child(request, cut)
    assert again.resumed_from == (2,)
    assert (again.weights_sha256, again.train_loss) == (whole.weights_sha256, whole.train_loss)
    assert (again.exposure, again.steps) == (whole.exposure, whole.steps)
