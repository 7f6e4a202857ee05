"""Parts of a data set on which a model may be weaker: by length, by score, by what the two sentences share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.statistics.correlation import Floats

Rows = NDArray[np.intp]


def slice_rows(first: Sequence[str], second: Sequence[str], gold: Floats) -> dict[str, Rows]:
    """Row numbers of each slice, empty slices left out.

    `length:short|medium|long` are terciles of the characters of both sentences; `overlap:low|middle|high` are terciles
    of the share of character bigrams that the two have in common; `score:low|middle|high` are the thirds of the scale
    of gold scores (0..1). Rows at a boundary fall to the lower side, so that ties are never torn apart.
    """
    lengths = np.array([len(a) + len(b) for a, b in zip(first, second, strict=True)], dtype=np.float64)
    overlaps = np.array([lexical_overlap(a, b) for a, b in zip(first, second, strict=True)], dtype=np.float64)
    return {
        **_thirds("length", ("short", "medium", "long"), lengths, np.quantile(lengths, [1 / 3, 2 / 3])),
        **_thirds("score", ("low", "middle", "high"), gold, np.array([1 / 3, 2 / 3])),
        **_thirds("overlap", ("low", "middle", "high"), overlaps, np.quantile(overlaps, [1 / 3, 2 / 3])),
    }


def lexical_overlap(first: str, second: str) -> float:
    """Jaccard similarity of the two texts' character bigrams, case folded: 1 for equal texts, 0 for none in common.

    Bigrams of characters rather than words, because they also work for languages whose words carry endings or are not
    set apart by spaces.
    """
    a, b = _bigrams(first), _bigrams(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def _bigrams(text: str) -> set[str]:
    folded = " ".join(text.casefold().split())
    return {folded[start : start + 2] for start in range(max(1, len(folded) - 1))}


def _thirds(what: str, names: tuple[str, str, str], values: Floats, bounds: Floats) -> dict[str, Rows]:
    # A hair of tolerance: a score of 5/3 on a scale to 5 is 1/3 but for rounding.
    third = np.searchsorted(bounds + 1e-9, values, side="left")
    rows = {f"{what}:{name}": np.flatnonzero(third == index) for index, name in enumerate(names)}
    return {name: found for name, found in rows.items() if len(found)}
