"""Sentences as long as real ones: lengths in tokens measured on Korean NLI and STS data, words made up.

`QUANTILES` are the lengths at 0, 5, …, 100 % of XNLI-ko's premises and hypotheses and of KorSTS's sentences
(KorNLUDatasets) under the tokenizer of all-MiniLM-L6-v2, the two special tokens included.
"""

from __future__ import annotations

import random

QUANTILES = {
    "premise": (4, 24, 31, 37, 41, 47, 51, 56, 60, 65, 70, 75, 80, 86, 91, 98, 105, 111, 121, 135, 189),
    "hypothesis": (4, 17, 21, 23, 25, 27, 29, 31, 33, 34, 36, 38, 40, 43, 45, 48, 50, 54, 59, 67, 134),
    "sentence": (5, 18, 22, 24, 26, 28, 30, 33, 35, 36, 39, 41, 44, 46, 49, 53, 58, 65, 75, 93, 226),
}
SPECIAL_TOKENS = 2


def sentence(kind: str, words: int, numbers: random.Random) -> str:
    """A made-up sentence of a length drawn from the distribution of `kind`; each of its words is one token."""
    place = numbers.random() * (len(QUANTILES[kind]) - 1)
    low, high = QUANTILES[kind][int(place)], QUANTILES[kind][int(place) + 1]
    tokens = round(low + (high - low) * (place - int(place)))
    return " ".join(f"w{numbers.randrange(words)}" for _ in range(max(1, tokens - SPECIAL_TOKENS)))


def triplets(rows: int, words: int, seed: int) -> dict[str, list[str]]:
    """Columns anchor, positive and negative of `rows` rows, always the same for a seed."""
    numbers = random.Random(seed)
    kinds = {"anchor": "premise", "positive": "hypothesis", "negative": "hypothesis"}
    return {column: [sentence(kind, words, numbers) for _ in range(rows)] for column, kind in kinds.items()}


def pairs(rows: int, words: int, seed: int) -> dict[str, list[str] | list[float]]:
    """Columns sentence1, sentence2 and label (0 to 1) of `rows` rows, always the same for a seed."""
    numbers = random.Random(seed + 1)
    columns: dict[str, list[str] | list[float]] = {
        name: [sentence("sentence", words, numbers) for _ in range(rows)] for name in ("sentence1", "sentence2")
    }
    return columns | {"label": [numbers.random() for _ in range(rows)]}
