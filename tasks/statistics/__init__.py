"""Statistics: correlations, resampling, power. Plain numbers in and out; nothing here knows of models or files."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def code_of_statistics() -> str:
    """The source of this stage, for fingerprints of what it worked out."""
    files = sorted(Path(__file__).resolve().parent.glob("*.py"))
    return "\n".join(f"# {path.name}\n{path.read_text(encoding='utf-8')}" for path in files)
