"""When two sentences count as the same: exactly, or after normalisation."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache


def normalised(text: str) -> str:
    """`text` in NFKC, case-folded, without punctuation and spacing (Unicode categories P and Z, and controls).

    A text of nothing else, such as `...`, stays as it is, so that two of them are equal only when they look equal.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _ignored().sub("", folded) or text


@cache
def _ignored() -> re.Pattern[str]:
    ignored = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace() or unicodedata.category(c)[0] in "PZ"]
    return re.compile(f"[{re.escape(''.join(ignored))}]+")
