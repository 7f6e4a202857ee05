"""Search: the nearest of a corpus for every query, by embeddings or by words. Numbers and texts in, no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUERIES_AT_A_TIME = 256
"""Queries whose best are sought, and handed on, together."""


@dataclass(frozen=True)
class Nearest:
    """The best of a corpus for some queries, a row for each of them, best first; ties in the order of the corpus."""

    ids: NDArray[np.int64]
    """(queries, k) numbers of texts of the corpus; -1 where there are fewer than k."""
    scores: NDArray[np.float64]
    """(queries, k), higher is nearer; minus infinity where there are fewer than k."""

    def __len__(self) -> int:
        return len(self.ids)
