"""Masks cut from words are dropout: rate, scale, gradients, seeds. Attention with them is SDPA but for the masks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from torch.nn.functional import scaled_dot_product_attention

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.models.attention import KERNELS, FlatRow, attend
from stsflow.tasks.models.attention_with_dropout import by_text_with_dropout
from stsflow.tasks.models.dropout import WordDropout, drop, masks_drawn, quicken_dropout
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.models.padding_free import enable_padding_free


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rate_and_expected_value(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    values = torch.full((1000, 1001), 2.0, dtype=dtype)  # no multiple of four elements
    dropped = drop(values, rate)
    assert dropped.dtype == dtype
    share = float((dropped == 0).double().mean())
    assert abs(share - rate) < 5 * (rate * (1 - rate) / values.numel()) ** 0.5 + 1 / 65_536
    kept = dropped[dropped != 0].unique()
    assert len(kept) == 1
    torch.testing.assert_close(float(kept), 2.0 / (1 - rate), rtol=5e-3 if dtype == torch.bfloat16 else 5e-4, atol=0)


def test_neighbours_are_independent() -> None:
    """Four elements share a word: no two of its places may go together."""
    torch.manual_seed(2)
    lanes = (drop(torch.ones(4 * 250_000), 0.5) == 0).double().reshape(-1, 4)
    both = torch.cov(lanes.T)
    assert float((both - torch.diag(both.diag())).abs().max()) < 0.25 * 5 / 250_000**0.5


def test_gradient_passes_where_values_passed() -> None:
    torch.manual_seed(3)
    values = torch.randn(64, 65, dtype=torch.float64, requires_grad=True)

    def seeded(inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return drop(inputs, 0.3)

    assert torch.autograd.gradcheck(seeded, (values[:4, :5].detach().requires_grad_(),))
    dropped = drop(values, 0.3)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(dropped, values * gradient)


def test_the_seed_decides() -> None:
    def once() -> torch.Tensor:
        torch.manual_seed(4)
        return drop(torch.ones(999), 0.5)

    assert torch.equal(once(), once())
    assert not torch.equal(once(), drop(torch.ones(999), 0.5))


LENGTHS = (3, 7, 7, 1, 20, 5, 5, 5)
BOUNDARIES = torch.tensor((0, *LENGTHS)).cumsum(0).to(torch.int32)


def row_of_texts(size: int = 8, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Query, key and value of texts of LENGTHS end to end, two heads."""
    return [torch.randn(sum(LENGTHS), 2, size, dtype=dtype, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("scaling", [None, 0.7])
def test_attention_without_a_drop_is_sdpa(window: int | None, scaling: float | None) -> None:
    """A rate that rounds to nothing leaves the computation of attention itself, gradients included."""
    torch.manual_seed(5)
    inputs, weights = row_of_texts(), torch.randn(sum(LENGTHS), 2, 8)
    ours = by_text_with_dropout(FlatRow(*inputs, BOUNDARIES, max(LENGTHS), 1e-9, scaling, window))
    texts = []
    for start, stop in pairwise(BOUNDARIES.tolist()):
        places = torch.arange(stop - start)
        mask = None if window is None else (places[:, None] - places).abs() < window
        query, key, value = (item[start:stop].transpose(0, 1) for item in inputs)
        texts.append(scaled_dot_product_attention(query, key, value, mask, scale=scaling).transpose(0, 1))
    theirs = torch.cat(texts)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(theirs, inputs, weights), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("window", [None, 4])
def test_attention_with_drops_has_the_gradients_that_its_masks_say(window: int | None) -> None:
    """The same masks by hand in float64: every weight times 0 or 1 / (1 - rate), and autograd's own gradients."""
    torch.manual_seed(6)
    inputs, weights = row_of_texts(), torch.randn(sum(LENGTHS), 2, 8)
    torch.manual_seed(7)
    ours = by_text_with_dropout(FlatRow(*inputs, BOUNDARIES, max(LENGTHS), 0.25, None, window))
    torch.manual_seed(7)
    runs = [(1, 3), (2, 7), (1, 1), (1, 20), (3, 5)]  # neighbours of equal length: 3, 7 7, 1, 20, 5 5 5
    kept = torch.ones(sum(count * 2 * length**2 for count, length in runs), dtype=torch.float64)
    kept[drop(torch.ones(len(kept)), 0.25) == 0] = 0.0
    doubles = [item.detach().double().requires_grad_() for item in inputs]
    texts, start, used = [], 0, 0
    for count, length in runs:
        for _ in range(count):
            query, key, value = (item[start : start + length].transpose(0, 1) for item in doubles)
            scores = query @ key.transpose(1, 2) / 8**0.5
            if window is not None:
                places = torch.arange(length)
                scores = scores.masked_fill((places[:, None] - places).abs() >= window, float("-inf"))
            mask = kept[used : used + 2 * length**2].view(2, length, length)
            texts.append(((scores.softmax(-1) * mask / 0.75) @ value).transpose(0, 1))
            start, used = start + length, used + 2 * length**2
    theirs = torch.cat(texts)
    assert 0.15 < float((kept == 0).double().mean()) < 0.35
    torch.testing.assert_close(ours, theirs.float())
    for one, other in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(theirs, doubles, weights.double()), strict=True
    ):
        torch.testing.assert_close(one, other.float(), atol=1e-5, rtol=1e-5)


def test_attention_with_drops_has_sdpa_as_its_mean() -> None:
    torch.manual_seed(6)
    inputs = [item.detach() for item in row_of_texts()]
    draws = [by_text_with_dropout(FlatRow(*inputs, BOUNDARIES, max(LENGTHS), 0.2)) for _ in range(4000)]
    without = KERNELS["by_text"](FlatRow(*inputs, BOUNDARIES, max(LENGTHS)))
    torch.testing.assert_close(torch.stack(draws).mean(dim=0), without, atol=0.08, rtol=0)


def test_attention_with_drops_in_half_precision_gives_half_precision() -> None:
    torch.manual_seed(6)
    inputs = row_of_texts(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        ours = by_text_with_dropout(FlatRow(*inputs, BOUNDARIES, max(LENGTHS), 1e-9))
    exact = [item.detach().float() for item in inputs]
    without = KERNELS["by_text"](FlatRow(*exact, BOUNDARIES, max(LENGTHS)))
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), without, atol=2e-2, rtol=1e-2)
    assert all(item.dtype == torch.bfloat16 for item in torch.autograd.grad(ours.float().sum(), inputs))


@pytest.mark.parametrize("marked", [False, True])
def test_off_means_that_attention_has_the_librarys_masks_too(marked: bool) -> None:
    torch.manual_seed(7)
    inputs = [torch.randn(1, 2, 9, 8) for _ in range(3)]
    module = torch.nn.Sequential(torch.nn.Dropout(0.5))
    quicken_dropout(module, "on" if marked else "off", "cpu")
    torch.manual_seed(8)
    ours, _ = attend(
        module, *inputs, None, dropout=0.5, is_causal=False, cu_seq_lens_q=torch.tensor([0, 9], dtype=torch.int32)
    )
    torch.manual_seed(8)
    library = scaled_dot_product_attention(*inputs, dropout_p=0.5).transpose(1, 2)
    assert torch.allclose(ours, library) == (not marked)


def test_a_rate_next_to_one_stays_finite() -> None:
    assert bool(torch.isfinite(drop(torch.ones(1000), 1 - 1e-9)).all())


def test_every_layer_of_a_model_is_quickened_and_counts(tiny_models: Callable[[str], Path]) -> None:
    model = load_encoder(tiny_models("bert"), device="cpu")
    layers = sum(type(module) is torch.nn.Dropout for module in model.modules())
    names = dict(model.named_parameters()).keys()
    state = quicken_dropout(model, "auto", "cpu")
    assert (state.chosen, state.reason) == ("on", f"{layers} dropout layers draw four elements of a mask at a time")
    assert sum(type(module) is WordDropout for module in model.modules()) == layers
    assert dict(model.named_parameters()).keys() == names

    features = model.preprocess(["rain falls", "a man reads a book"])
    model.eval()
    assert torch.equal(*(model(dict(features))["sentence_embedding"] for _ in range(2)))
    assert masks_drawn(model) == 0
    model.train()
    assert not torch.equal(*(model(dict(features))["sentence_embedding"] for _ in range(2)))
    assert masks_drawn(model) > 0


def test_where_it_stays_off(tiny_models: Callable[[str], Path]) -> None:
    model = load_encoder(tiny_models("bert"), device="cpu")
    assert quicken_dropout(model, "off", "cpu").reason == "the recipe says off"
    assert quicken_dropout(model, "auto", "cuda").chosen == "off"
    with pytest.raises(PreconditionError, match=r"training\.word_dropout is `on`, but the device is cuda"):
        quicken_dropout(model, "on", "cuda")
    assert quicken_dropout(torch.nn.Linear(2, 2), "auto", "cpu").reason == "the model has no dropout layer"
    assert not any(isinstance(module, WordDropout) for module in model.modules())


def test_a_forward_pass_that_is_repeated_has_the_same_masks(tiny_models: Callable[[str], Path]) -> None:
    """Gradient checkpointing and cached losses compute a pass twice; other masks then would be another loss."""
    columns = [["rain falls", "a man reads a book"], ["it rains", "a man is reading"]]
    model = load_encoder(tiny_models("bert"), device="cpu").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    enable_padding_free(model, "on", "cpu", "float32")
    quicken_dropout(model, "on", "cpu")

    def gradients(loss: torch.nn.Module) -> list[torch.Tensor]:
        torch.manual_seed(9)
        model.zero_grad()
        loss([model.preprocess(column) for column in columns], None).backward()
        return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]

    plain = gradients(MultipleNegativesRankingLoss(model))
    cached = gradients(CachedMultipleNegativesRankingLoss(model, mini_batch_size=2))
    model[0].model.gradient_checkpointing_enable()
    checkpointed = gradients(MultipleNegativesRankingLoss(model))
    assert masks_drawn(model) > 0
    for again in (cached, checkpointed):
        for one, other in zip(plain, again, strict=True):
            torch.testing.assert_close(one, other)
