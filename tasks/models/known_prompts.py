"""Models that were trained behind prompts which their configuration does not name."""

from __future__ import annotations

import re

from stsflow.tasks.records.prompts import Prompts

E5 = Prompts(texts={"query": "query: ", "document": "passage: "}, default="query")
"""Wang et al., Text Embeddings by Weakly-Supervised Contrastive Pre-training (2022) and Multilingual E5 (2024): both
for search, that of queries for the two texts of a symmetric task."""
FAMILIES = {r"(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?": E5}
"""By the last part of a model's name."""


def trained_with(name: str, own: Prompts) -> Prompts:
    """The prompts that the model `name` was trained with: its own, or those of the family that its name tells."""
    if own.some:
        return own
    last = name.rpartition("/")[2].lower()
    return next((prompts for pattern, prompts in FAMILIES.items() if re.fullmatch(pattern, last)), own)
