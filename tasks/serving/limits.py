"""What the server takes at once, and from whom."""

from __future__ import annotations

from dataclasses import dataclass

BATCH_TOKENS = {"cpu": 4096, "cuda": 32_768}
"""Tokens of a batch where none are given. While a batch runs, everybody else waits: a CPU gets smaller ones."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, and of all that wait."""

    inputs: int = 2048
    """Texts of one request; as many as OpenAI's own service takes."""
    body_bytes: int = 8 * 2**20
    """Size of one request."""
    characters: int = 200_000
    """Length of one text. A model reads its first few hundred or thousand tokens, whatever is sent."""
    waiting: int = 8192
    """Texts that wait to be embedded; with more the server answers 429."""
    batch_tokens: int = 4096
    """Tokens that the model reads at once."""

    @property
    def bytes_at_once(self) -> int:
        """Size of all requests that are being read or answered; with more the server answers 429."""
        return 64 * self.body_bytes
