"""The embeddings that the suites of an evaluation ask for, each made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

Embeddings = NDArray[np.float32]


@dataclass
class Embedder:
    """One model, its embeddings, and what was asked for before."""

    model: Encoder
    batch_size: int
    """Sentences encoded at a time."""
    _known: dict[tuple[str | None, str | None, tuple[str, ...]], Embeddings] = field(default_factory=dict)

    def embed(
        self, *columns: Sequence[str], side: Literal["query", "document"] | None = None, prompt: str | None = None
    ) -> tuple[Embeddings, ...]:
        """Float32 embeddings of the texts of each column, in their order: (texts, dimension).

        `side` and `prompt` as in `encode_distinct`. All columns are encoded together, and apart from whatever else was
        asked for: how texts share batches shows in the last digits, and the numbers of a suite must not depend on which
        other suites are scored beside it.
        """
        from stsflow.tasks.models.encode import encode_distinct

        place = {text: row for row, text in enumerate(dict.fromkeys(text for column in columns for text in column))}
        asked = (side, prompt, tuple(place))
        if asked not in self._known:
            self._known[asked] = encode_distinct(
                self.model, asked[-1], batch_size=self.batch_size, side=side, prompt=prompt
            )
        return tuple(self._known[asked][[place[text] for text in column]] for column in columns)

    @property
    def texts(self) -> list[str]:
        """Every text that was asked for, once."""
        return list(dict.fromkeys(text for _, _, texts in self._known for text in texts))
