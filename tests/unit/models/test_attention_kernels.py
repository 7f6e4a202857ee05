"""The ways to compute attention over texts laid end to end agree with each other and with a formula in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from stsflow.tasks.models.attention import KERNELS, FlatRow, attend, choose_kernel, difference_from_by_text

AMPERE, VOLTA = (8, 0), (7, 0)


def softmax_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, window: int | None) -> np.ndarray:
    """softmax(q kᵀ / √d) v for one text and one head, each of shape (tokens, head size)."""
    scores = query @ key.T / np.sqrt(query.shape[1])
    if window is not None:
        distance = np.abs(np.arange(len(query))[:, None] - np.arange(len(key)))
        scores = np.where(distance < window, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ value


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("kernel", ["by_text", "repadded"])
def test_each_text_attends_to_itself_alone(kernel: str, window: int | None) -> None:
    lengths = (4, 1, 4, 4, 9)
    numbers = np.random.default_rng(0).standard_normal((3, sum(lengths), 2, 8))
    query, key, value = (torch.tensor(item) for item in numbers)
    boundaries = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    output = KERNELS[kernel](FlatRow(query, key, value, boundaries, max(lengths), window=window)).numpy()
    for start, stop in pairwise(boundaries):
        for head in range(2):
            text = numbers[:, start:stop, head]
            np.testing.assert_allclose(output[start:stop, head], softmax_attention(*text, window), atol=1e-12)


def test_re_padding_has_the_gradients_of_text_by_text() -> None:
    assert difference_from_by_text("repadded", 4, 8, torch.float32, "cpu") < 1e-6


def test_an_empty_text_spoils_nothing() -> None:
    query, key, value = (torch.randn(5, 2, 8, requires_grad=True) for _ in range(3))
    boundaries = torch.tensor([0, 2, 2, 5], dtype=torch.int32)
    for kernel in ("by_text", "repadded"):
        output = KERNELS[kernel](FlatRow(query, key, value, boundaries, 3))
        (gradient,) = torch.autograd.grad(output.sum(), query)
        assert output.shape == (5, 2, 8)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("device", "dtype", "dropout", "head_size", "capability", "expected"),
    [
        ("cpu", torch.float32, 0.1, 32, (0, 0), "by_text"),
        ("cpu", torch.bfloat16, 0.0, 32, (0, 0), "by_text"),
        ("cuda", torch.bfloat16, 0.0, 64, AMPERE, "varlen"),
        ("cuda", torch.float16, 0.0, 64, AMPERE, "varlen"),
        ("cuda", torch.bfloat16, 0.1, 64, AMPERE, "repadded"),
        ("cuda", torch.float32, 0.0, 64, AMPERE, "repadded"),
        ("cuda", torch.float16, 0.0, 64, VOLTA, "repadded"),
        ("cuda", torch.bfloat16, 0.0, 36, AMPERE, "repadded"),
    ],
)
def test_the_kernel_fits_device_precision_and_dropout(
    device: str, dtype: torch.dtype, dropout: float, head_size: int, capability: tuple[int, int], expected: str
) -> None:
    assert choose_kernel(device, dtype, dropout, head_size, capability) == expected


def test_what_it_does_not_know_is_refused() -> None:
    layer = torch.nn.Module()
    layer.is_causal = False
    rows = torch.randn(1, 2, 4, 8)
    boundaries = torch.tensor([0, 4], dtype=torch.int32)
    with pytest.raises(ValueError, match="asks for causal attention"):
        attend(layer, rows, rows, rows, None, is_causal=True, cu_seq_lens_q=boundaries)
    with pytest.raises(ValueError, match="does not know position_bias"):
        attend(layer, rows, rows, rows, None, position_bias=rows, cu_seq_lens_q=boundaries)


def test_a_single_padded_text_keeps_its_window() -> None:
    layer = torch.nn.Module()
    layer.is_causal = False
    numbers = np.random.default_rng(1).standard_normal((3, 1, 1, 7, 8))
    query, key, value = (torch.tensor(item) for item in numbers)
    output, _ = attend(layer, query, key, value, None, sliding_window=2)
    np.testing.assert_allclose(output[0, :, 0].numpy(), softmax_attention(*numbers[:, 0, 0], 2), atol=1e-12)
