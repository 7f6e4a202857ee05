"""The sentences that all suites of an evaluation need, each encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddedTexts:
    """Embeddings of distinct texts, looked up by text."""

    matrix: Embeddings
    """(distinct texts, dimension), float32."""
    row_of: dict[str, int]

    def of(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings of `texts`, in that order: (texts, dimension)."""
        return np.asarray(self.matrix[[self.row_of[text] for text in texts]])

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        return int(self.matrix.shape[1])


def embed(model: SentenceTransformer, texts: Iterable[str], batch_size: int) -> EmbeddedTexts:
    """Encode each distinct text once, in float32."""
    from tasks.models.encode import encode_distinct

    distinct = list(dict.fromkeys(texts))
    matrix = encode_distinct(model, distinct, batch_size=batch_size, precision="float32")
    return EmbeddedTexts(matrix, {text: row for row, text in enumerate(distinct)})
