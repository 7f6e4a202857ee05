"""Attention of each text to itself, with dropout, on a CPU.

A CPU has no fused attention once there is dropout: SDPA then runs a dozen operations for each text, and autograd as
many again, on matrices so small that finding the operation costs as much as doing it. Here the whole row is one step of
autograd with a backward pass of its own, and masks are cut from words (`tasks/models/dropout.py`). Like SDPA's own
computation with dropout it is in float32.
"""

from __future__ import annotations

from typing import Any

import torch

from stsflow.tasks.models.dropout import draw, kept, scale_of_kept, steps_dropped
from stsflow.tasks.models.texts_in_a_row import FlatRow, as_batch, runs_of_equal_length, split_by_run, window_mask


def by_text_with_dropout(row: FlatRow) -> torch.Tensor:
    """What SDPA on each text gives, but for the masks."""
    scale = row.query.shape[-1] ** -0.5 if row.scaling is None else row.scaling
    runs = runs_of_equal_length(row.boundaries.tolist())
    # The queries carry the scale: they are fewer numbers than the weights.
    attended: torch.Tensor = _Attention.apply(  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        row.query.float() * scale, row.key.float(), row.value.float(), runs, steps_dropped(row.dropout), row.window
    )
    return attended.to(row.value.dtype)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, runs: list[tuple[int, int]],
        dropped: int, window: int | None,
    ) -> torch.Tensor:  # fmt: skip
        texts = [count * value.shape[1] for count, _ in runs]  # each head of each text is a product of its own
        bits = draw(sum(number * length**2 for number, (_, length) in zip(texts, runs, strict=True)))
        output = torch.empty(value.shape)
        attention = []
        with torch.autocast("cpu", enabled=False):
            rows = (split_by_run(item, runs) for item in (query, key, value, output))
            for (count, length), lot, q, k, v, place in zip(runs, _lots(bits, texts, runs), *rows, strict=True):
                weights = _batch(q, count) @ _batch(k, count).transpose(1, 2)
                if window is not None and length > window:
                    weights.masked_fill_(~window_mask(length, window, weights.device), float("-inf"))
                weights = weights.softmax(dim=-1)
                attention.append(weights)
                _put(place, count, (weights * kept(lot, dropped, weights.dtype)) @ _batch(v, count))
        ctx.save_for_backward(query, key, value, bits, *attention)
        ctx.texts, ctx.runs, ctx.dropped = texts, runs, dropped
        return output.mul_(scale_of_kept(dropped))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, bits, *attention = ctx.saved_tensors
        incoming = gradients[0] * scale_of_kept(ctx.dropped)
        outgoing = [torch.empty(value.shape) for _ in range(3)]
        rows = (split_by_run(item, ctx.runs) for item in (query, key, value, incoming, *outgoing))
        with torch.autocast("cpu", enabled=False):
            for (count, _), lot, weights, q, k, v, gradient, to_q, to_k, to_v in zip(
                ctx.runs, _lots(bits, ctx.texts, ctx.runs), attention, *rows, strict=True
            ):
                mask = kept(lot, ctx.dropped, weights.dtype)
                gradient = _batch(gradient, count)
                _put(to_v, count, (weights * mask).transpose(1, 2) @ gradient)
                to_weights = (gradient @ _batch(v, count).transpose(1, 2)).mul_(mask)
                # What autograd itself calls; there is no public name for it.
                to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
                _put(to_q, count, to_scores @ _batch(k, count))
                _put(to_k, count, to_scores.transpose(1, 2) @ _batch(q, count))
        return *outgoing, None, None, None


def _lots(bits: torch.Tensor, texts: list[int], runs: list[tuple[int, int]]) -> list[torch.Tensor]:
    """The bits of each run's weights, (texts x heads, length, length)."""
    shapes = [(number, length, length) for number, (_, length) in zip(texts, runs, strict=True)]
    lots = bits.split_with_sizes([a * b * c for a, b, c in shapes])
    return [lot.view(shape) for lot, shape in zip(lots, shapes, strict=True)]


def _batch(rows: torch.Tensor, texts: int) -> torch.Tensor:
    """(texts x length, heads, head size) as (texts x heads, length, head size); a view where there is one text."""
    return as_batch(rows, texts).flatten(0, 1)


def _put(place: torch.Tensor, texts: int, batch: torch.Tensor) -> None:
    """Write what `_batch` has taken apart to its rows."""
    as_batch(place, texts).copy_(batch.view(texts, -1, *batch.shape[1:]))
