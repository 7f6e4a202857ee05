"""The sentences that all suites of an evaluation need, each encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def embed(model: Any, texts: Iterable[str], batch_size: int) -> EmbeddedTexts:
    """Encode each distinct text once, in float32. `model` is a SentenceTransformer."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return EmbeddedTexts(np.zeros((0, model.get_sentence_embedding_dimension() or 0), np.float32), {})
    matrix = model.encode(distinct, batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False)
    return EmbeddedTexts(np.asarray(matrix, dtype=np.float32), {text: row for row, text in enumerate(distinct)})
