"""What rows become: triplets, pairs, or pairs with a score.

A shape names the columns of its source (dotted for nested fields: `labels.label`) and says which columns come out:

| shape | columns that come out |
|---|---|
| `nli_triplets`, `triplets` | anchor, positive, negative: str, stripped, non-empty |
| `pairs` | anchor, positive: str, stripped, non-empty |
| `scored_pairs` | sentence1, sentence2: str, stripped, non-empty; score: float in 0..1 |
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.schema import Section

TRIPLET_COLUMNS = ("anchor", "positive", "negative")
PAIR_COLUMNS = ("anchor", "positive")
SCORED_PAIR_COLUMNS = ("sentence1", "sentence2", "score")


class NliTriplets(Section):
    """Triplets from natural-language-inference rows, as the public multi-task recipe builds them.

    Every distinct sentence that has at least one entailment and one contradiction, counted in both directions (premise
    as anchor and hypothesis as anchor), gives two triplets: (s, e, c) and (e, s, c).
    """

    kind: Literal["nli_triplets"] = "nli_triplets"
    columns: ClassVar[tuple[str, ...]] = TRIPLET_COLUMNS
    premise: str = "sentence1"
    """Column of the premise."""
    hypothesis: str = "sentence2"
    """Column of the hypothesis."""
    label: str = "gold_label"
    """Column of the label."""
    labels: dict[str, Literal["entailment", "neutral", "contradiction"]] = {
        "entailment": "entailment", "neutral": "neutral", "contradiction": "contradiction",
        "0": "entailment", "1": "neutral", "2": "contradiction",
    }  # fmt: skip
    """Meaning of each value found in the label column; any other value is refused."""
    seed: int = 42
    """Seed of the choice among several entailments or contradictions."""


class Triplets(Section):
    """Rows that already are triplets."""

    kind: Literal["triplets"] = "triplets"
    columns: ClassVar[tuple[str, ...]] = TRIPLET_COLUMNS
    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive."""
    negative: str = "negative"
    """Column of the negative."""


class Pairs(Section):
    """Rows that are (anchor, positive) pairs."""

    kind: Literal["pairs"] = "pairs"
    columns: ClassVar[tuple[str, ...]] = PAIR_COLUMNS
    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive."""


class ScoredPairs(Section):
    """Rows that are two sentences and a similarity score, brought linearly to 0..1."""

    kind: Literal["scored_pairs"] = "scored_pairs"
    columns: ClassVar[tuple[str, ...]] = SCORED_PAIR_COLUMNS
    sentence1: str = "sentence1"
    """Column of the first sentence."""
    sentence2: str = "sentence2"
    """Column of the second sentence."""
    score: str = "score"
    """Column of the score."""
    score_range: tuple[float, float] = (0.0, 5.0)
    """Lowest and highest score; a row outside is refused."""
    keep: tuple[str, ...] = ()
    """Further columns to carry along unchanged, such as `genre`, for suites that report on subsets."""


Shape = Annotated[NliTriplets | Triplets | Pairs | ScoredPairs, Field(discriminator="kind")]
