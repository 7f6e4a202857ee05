"""Where the texts of a flattened row lie, how they are taken apart, and what a window lets them see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch


@dataclass(frozen=True)
class FlatRow:
    """What attention works on: texts end to end, and how they attend."""

    query: torch.Tensor
    """(tokens, heads, head size), as are key, value and what comes out."""
    key: torch.Tensor
    value: torch.Tensor
    boundaries: torch.Tensor
    """Offsets of the texts, one more than there are, int32."""
    longest: int
    """Tokens of the longest text."""
    dropout: float = 0.0
    scaling: float | None = None
    """None: one over the root of the head size."""
    window: int | None = None
    """Lets a token see those at a distance below it."""

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query, key and value."""
        return self.query, self.key, self.value


def runs_of_equal_length(boundaries: list[int]) -> list[tuple[int, int]]:
    """(texts, tokens of each) for every run of neighbouring texts of equal length; empty texts are left out."""
    runs: list[tuple[int, int]] = []
    for start, stop in pairwise(boundaries):
        length = stop - start
        if runs and runs[-1][1] == length:
            runs[-1] = (runs[-1][0] + 1, length)
        elif length:
            runs.append((1, length))
    return runs


def split_by_run(rows: torch.Tensor, runs: list[tuple[int, int]]) -> tuple[torch.Tensor, ...]:
    """The rows of each run. Split, not sliced: the gradient of a slice is as large as what it was taken from."""
    return rows.split_with_sizes([count * length for count, length in runs])


def as_batch(rows: torch.Tensor, texts: int) -> torch.Tensor:
    """(texts x length, heads, head size) as (texts, heads, length, head size), a view."""
    return rows.view(texts, -1, *rows.shape[1:]).transpose(1, 2)


@lru_cache(maxsize=512)
def window_mask(length: int, window: int, device: torch.device) -> torch.Tensor:
    """(length, length), true where two places of a text are less than `window` apart."""
    # Kept over calls: one made under inference mode could not take part in a later backward pass.
    with torch.inference_mode(mode=False):
        positions = torch.arange(length, device=device)
        return (positions[:, None] - positions).abs() < window
