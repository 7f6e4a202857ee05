"""Parts of a data set on which a model may be weaker: by length, by score, by what two texts share, by script, by the
values of columns that were kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.scripts import script_of
from stsflow.tasks.statistics.correlation import Floats

Rows = NDArray[np.intp]


def slice_rows(
    texts: Sequence[Sequence[str]], gold: Floats | None = None, labels: Mapping[str, Sequence[object]] | None = None
) -> dict[str, Rows]:
    """Row numbers of each slice, empty slices left out; `texts` are the columns of texts of each row.

    `length:short|medium|long` are terciles of the characters of all texts; with two texts or more,
    `overlap:low|middle|high` are terciles of the share of character bigrams that the first two have in common; with
    gold scores, `score:low|middle|high` are the thirds of their scale (0..1). `script:<name>` is the script that nine
    letters in ten of a row are written in, or `mixed`, where the rows differ in that; `<column>:<value>` are the values
    of each column of `labels` that has more than one. Rows at a boundary fall to the lower side, so that ties are never
    torn apart.
    """
    lengths = np.array([sum(map(len, row)) for row in zip(*texts, strict=True)], dtype=np.float64)
    found = _thirds("length", ("short", "medium", "long"), lengths, np.quantile(lengths, [1 / 3, 2 / 3]))
    if gold is not None:
        found |= _thirds("score", ("low", "middle", "high"), gold, np.array([1 / 3, 2 / 3]))
    if len(texts) > 1:
        overlaps = np.array([lexical_overlap(a, b) for a, b in zip(texts[0], texts[1], strict=True)])
        bounds = np.quantile(overlaps, [1 / 3, 2 / 3])
        found |= _thirds("overlap", ("low", "middle", "high"), overlaps, bounds)
    scripts = [script(" ".join(row)) for row in zip(*texts, strict=True)]
    for column, values in {"script": scripts, **(labels or {})}.items():
        found |= _by_value(column, values)
    return found


def lexical_overlap(first: str, second: str) -> float:
    """Jaccard similarity of the two texts' character bigrams, case folded: 1 for equal texts, 0 for none in common.

    Bigrams of characters rather than words, because they also work for languages whose words carry endings or are not
    set apart by spaces.
    """
    a, b = _bigrams(first), _bigrams(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def script(text: str) -> str:
    """The script of nine letters in ten, as Unicode's names of characters begin (`hangul`, `latin`, `cjk`); `mixed`
    where no script has so many, `none` for a text without letters.
    """
    letters = Counter(script_of(character) for character in text if character.isalpha())
    if not letters:
        return "none"
    name, count = letters.most_common(1)[0]
    return name if count >= 0.9 * letters.total() else "mixed"


def _bigrams(text: str) -> set[str]:
    folded = " ".join(text.casefold().split())
    return {folded[start : start + 2] for start in range(max(1, len(folded) - 1))}


def _by_value(column: str, values: Sequence[object]) -> dict[str, Rows]:
    """Rows of each value; nothing where all rows have the same."""
    kinds, numbers = np.unique(np.array([str(value) for value in values], dtype=object), return_inverse=True)
    if len(kinds) < 2:
        return {}
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.searchsorted(numbers[order], np.arange(1, len(kinds))))
    return {f"{column}:{kind}": part for kind, part in zip(kinds, parts, strict=True)}


def _thirds(what: str, names: tuple[str, str, str], values: Floats, bounds: Floats) -> dict[str, Rows]:
    # A hair of tolerance: a score of 5/3 on a scale to 5 is 1/3 but for rounding.
    third = np.searchsorted(bounds + 1e-9, values, side="left")
    rows = {f"{what}:{name}": np.flatnonzero(third == index) for index, name in enumerate(names)}
    return {name: found for name, found in rows.items() if len(found)}
