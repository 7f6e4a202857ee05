"""One forward pass for all columns gives the loss and the gradients of a pass for each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models import SENTENCES
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CosineSimilarityLoss,
    MultipleNegativesRankingLoss,
)

from stsflow.tasks.models.merge_columns import MergedColumns
from stsflow.tasks.models.padding_free import counters, enable_padding_free

COLUMNS = [list(SENTENCES[:4]), list(SENTENCES[4:8]), list(SENTENCES[12:16])]


@pytest.fixture
def model(tiny_xlmr: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_xlmr), device="cpu", local_files_only=True).eval()


def loss_and_gradient(
    loss: torch.nn.Module, labels: torch.Tensor | None, columns: int, prompts: tuple[str, ...] = ("", "", "")
) -> tuple[float, torch.Tensor]:
    model = loss.model
    model.zero_grad()
    read = zip(COLUMNS[:columns], prompts, strict=False)
    value = loss([model.preprocess(column, prompt=prompt) for column, prompt in read], labels)
    value.backward()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return value.item(), torch.cat(gradients)


@pytest.mark.parametrize(("kind", "columns"), [(MultipleNegativesRankingLoss, 3), (CosineSimilarityLoss, 2)])
def test_same_loss_and_gradients_in_one_forward(model: SentenceTransformer, kind: type, columns: int) -> None:
    labels = torch.tensor([0.1, 0.9, 0.4, 0.7]) if columns == 2 else None
    expected = loss_and_gradient(kind(model), labels, columns)
    enable_padding_free(model, "on", "cpu", "float32")
    loss = MergedColumns(kind(model))
    found = loss_and_gradient(loss, labels, columns)
    assert (loss.merged_batches, counters(model)["flattened_batches"]) == (1, 1)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert float((found[1] - expected[1]).norm() / expected[1].norm()) < 1e-5


def test_padded_batches_go_to_the_loss_as_they_are(model: SentenceTransformer) -> None:
    loss = MergedColumns(MultipleNegativesRankingLoss(model))
    assert loss_and_gradient(loss, None, 3)[0] == pytest.approx(
        loss_and_gradient(MultipleNegativesRankingLoss(model), None, 3)[0]
    )
    assert loss.merged_batches == 0


@pytest.mark.parametrize("pooled", [True, False])
def test_columns_behind_prompts_are_merged_where_the_pooling_takes_the_prompts_in(
    model: SentenceTransformer, pooled: bool
) -> None:
    model.set_pooling_include_prompt(pooled)
    prompts = ("A man ", "the road: ", "")
    expected = loss_and_gradient(MultipleNegativesRankingLoss(model), None, 3, prompts)
    bare = loss_and_gradient(MultipleNegativesRankingLoss(model), None, 3)
    enable_padding_free(model, "on", "cpu", "float32")
    loss = MergedColumns(MultipleNegativesRankingLoss(model))
    found = loss_and_gradient(loss, None, 3, prompts)
    assert loss.merged_batches == (1 if pooled else 0)
    assert found[0] == pytest.approx(expected[0], rel=1e-5) != pytest.approx(bare[0], rel=1e-5)
    assert float((found[1] - expected[1]).norm() / expected[1].norm()) < 1e-5


def test_large_batches_are_not_merged_on_a_cpu(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stsflow.tasks.models.merge_columns.MOST_TOKENS_ON_CPU", 10)
    enable_padding_free(model, "on", "cpu", "float32")
    loss = MergedColumns(MultipleNegativesRankingLoss(model))
    loss_and_gradient(loss, None, 3)
    assert (loss.merged_batches, counters(model)["flattened_batches"]) == (0, 3)
