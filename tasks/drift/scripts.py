"""Which scripts texts are written in.

What language a short text is in is often guessed wrong, and a test needs no name for it. The script is certain, comes
with Python, and tells apart what a tokenizer finds hardest; languages that share one are told apart by their tokens and
by what the model makes of them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.scripts import script_of

CHARACTERS = 2_000
"""Of a text, from its beginning."""


def script_shares(texts: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names of the scripts that occur, and (texts, scripts) the share of each among a text's letters; a text without
    letters has none."""
    counts = [Counter(script_of(letter).capitalize() for letter in _letters(text)) for text in texts]
    names = sorted({name for count in counts for name in count})
    shares = np.zeros((len(texts), len(names)), np.float32)
    for row, count in enumerate(counts):
        for name, letters in count.items():
            shares[row, names.index(name)] = letters / count.total()
    return tuple(names), shares


def _letters(text: str) -> Iterator[str]:
    """Composed, wide ones as the ordinary ones."""
    return filter(str.isalpha, unicodedata.normalize("NFKC", text[:CHARACTERS]))
