"""When two sentences count as the same: exactly, or after normalisation."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache


def normalised(text: str) -> str:
    """`text` in NFKC, case-folded, without punctuation and spacing (Unicode categories P and Z, and controls).

    A text of nothing else, such as `...`, stays as it is, so that two of them are equal only when they look equal.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.translate(_ignored()) or text


@cache
def _ignored() -> dict[int, None]:
    every = map(chr, range(sys.maxunicode + 1))
    return {ord(c): None for c in every if c.isspace() or unicodedata.category(c)[0] in "PZ"}
