"""Masks cut from words are dropout: rate, scale, gradients, seeds. Attention with them is SDPA but for the masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tasks.errors import PreconditionError
from tasks.models.attention import attend, with_dropout
from tasks.models.dropout import WordDropout, drop, masks_drawn, quicken_dropout
from tasks.models.loading import load_encoder


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


@pytest.mark.parametrize("window", [None, 8])
def test_attention_without_a_drop_is_sdpa(window: int | None) -> None:
    """A rate that rounds to nothing leaves the computation of attention itself, gradients included."""
    torch.manual_seed(5)
    inputs = [torch.randn(2, 4, 33, 16, requires_grad=True) for _ in range(3)]
    places = torch.arange(33)
    mask = None if window is None else (places[:, None] - places).abs() < window
    ours = with_dropout(*inputs, attn_mask=mask, dropout_p=1e-9, scale=None)
    theirs = scaled_dot_product_attention(*inputs, attn_mask=mask)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(theirs, inputs, weights), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_attention_with_drops_has_sdpa_as_its_mean() -> None:
    torch.manual_seed(6)
    inputs = [torch.randn(1, 2, 12, 8) for _ in range(3)]
    mean = torch.stack([with_dropout(*inputs, attn_mask=None, dropout_p=0.2, scale=None) for _ in range(4000)]).mean(
        dim=0
    )
    torch.testing.assert_close(mean, scaled_dot_product_attention(*inputs), atol=0.06, rtol=0)


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
