"""The script that a letter belongs to."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=65_536)
def script_of(letter: str) -> str:
    """`latin`, `hangul`, `cjk`: Unicode's names of letters begin with their script."""
    return unicodedata.name(letter, "unknown").split()[0].split("-")[0].lower()
