"""Padding that random batches need, worked out from the histogram of lengths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def expected_longest(histogram: Mapping[int, int], batch_size: int) -> float:
    """Expected length of the longest of `batch_size` rows that are drawn without replacement; exact.

    With F(x) rows of at most x tokens among N: P(longest <= x) = C(F(x), b) / C(N, b), the product of
    (F(x) - i) / (N - i) over i < b, and E = sum over x of x * P(longest = x).
    """
    lengths = np.array(sorted(histogram))
    below = np.cumsum([histogram[length] for length in lengths]).astype(np.float64)
    total = below[-1]
    taken = np.arange(min(batch_size, int(total)), dtype=np.float64)
    ratios = np.clip(below[:, None] - taken[None, :], 0.0, None) / (total - taken)[None, :]
    at_most = ratios.prod(axis=1)
    return float((lengths * np.diff(at_most, prepend=0.0)).sum())


def padded_tokens(histogram: Mapping[int, int], batch_size: int) -> float:
    """Expected tokens, padding among them, of all rows in random batches, the last one shorter."""
    rows = sum(histogram.values())
    full, rest = divmod(rows, batch_size)
    padded = full * batch_size * expected_longest(histogram, batch_size) if full else 0.0
    return padded + (rest * expected_longest(histogram, rest) if rest else 0.0)


def expected_padding_share(columns: Mapping[str, Mapping[int, int]], batch_size: int, max_seq_length: int) -> float:
    """Share of padding among all tokens of an epoch: 1 - real tokens / expected padded tokens, cut at max_seq_length.

    Columns are padded each on its own, as sentence-transformers encodes them. The quotient is of totals, so that long
    batches weigh by their tokens.
    """
    real, padded = 0.0, 0.0
    for histogram in columns.values():
        cut: dict[int, int] = {}
        for length, rows in histogram.items():
            cut[min(length, max_seq_length)] = cut.get(min(length, max_seq_length), 0) + rows
        real += sum(length * rows for length, rows in cut.items())
        padded += padded_tokens(cut, batch_size) if cut else 0.0
    return 1.0 - real / padded if padded else 0.0
