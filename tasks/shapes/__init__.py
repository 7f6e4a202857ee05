"""What rows become: triplets, pairs, or pairs with a score.

A shape names the columns of its source (dotted for nested fields: `labels.label`) and says which columns come out:

| shape | columns that come out |
|---|---|
| `nli_triplets`, `triplets` | anchor, positive, negative: str, stripped, non-empty |
| `pairs` | anchor, positive: str, stripped, non-empty |
| `scored_pairs` | sentence1, sentence2: str, stripped, non-empty; score: float in 0..1 |

Judged pairs, the shape of retrieval suites, are scored pairs whose sentence1 may be empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from stsflow.tasks.ground.schema import LARGEST_SEED, Section

if TYPE_CHECKING:
    from stsflow.tasks.data.reading import Reading
    from stsflow.tasks.shapes.shaping import Shaped

TRIPLET_COLUMNS = ("anchor", "positive", "negative")
PAIR_COLUMNS = ("anchor", "positive")
SCORED_PAIR_COLUMNS = ("sentence1", "sentence2", "score")

Score = Annotated[float, Field(ge=-1e9, le=1e9)]


Label = Literal["entailment", "neutral", "contradiction", "skip"]
LABELS: dict[str, Label] = {
    "entailment": "entailment", "neutral": "neutral", "contradiction": "contradiction",
    "0": "entailment", "1": "neutral", "2": "contradiction",
}  # fmt: skip


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
    labels: dict[str, Label] = LABELS
    """Meaning of each value found in the label column; any other value is refused. `skip` leaves out and counts rows
    that the data marks as unusable; where only such values are named, as in `{"-": skip}`, the usual ones stay."""
    seed: int = Field(default=42, ge=0, le=LARGEST_SEED)
    """Seed of the choice among several entailments or contradictions."""

    @field_validator("labels")
    @classmethod
    def _skipping_keeps_the_usual_labels(cls, value: dict[str, Label]) -> dict[str, Label]:
        return LABELS | value if set(value.values()) == {"skip"} else value

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.premise, self.hypothesis, self.label)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns; raises DataError with file and line."""
        from stsflow.tasks.shapes.shaping import shape_nli_triplets

        return shape_nli_triplets(reading, self, subject, allow_empty)


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

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.anchor, self.positive, self.negative)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns; raises DataError with file and line."""
        from stsflow.tasks.shapes.shaping import shape_texts, triplet_names

        return shape_texts(reading, triplet_names(*self.reads), subject, allow_empty)


class Pairs(Section):
    """Rows that are (anchor, positive) pairs."""

    kind: Literal["pairs"] = "pairs"
    columns: ClassVar[tuple[str, ...]] = PAIR_COLUMNS
    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.anchor, self.positive)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns; raises DataError with file and line."""
        from stsflow.tasks.shapes.shaping import pair_names, shape_texts

        return shape_texts(reading, pair_names(*self.reads), subject, allow_empty)


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
    score_range: tuple[Score, Score] = (0.0, 5.0)
    """Lowest and highest score; a row outside is refused."""
    keep: tuple[str, ...] = ()
    """Further columns to carry along unchanged, such as `genre`, for suites that report on subsets."""

    @field_validator("score_range")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("score_range is the lowest and the highest score, and the first must be the smaller one")
        return value

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.sentence1, self.sentence2, self.score, *self.keep)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns; raises DataError with file and line."""
        from stsflow.tasks.shapes.shaping import shape_scored_pairs

        return shape_scored_pairs(reading, self, subject, allow_empty)


class JudgedPairs(ScoredPairs):
    """Rows that are a query, a passage and how relevant it is; the lowest score of the range is not relevant at all.

    A row without a query is a passage of the corpus that nobody asks for; its relevance may be left empty.
    """

    sentence1: str = "query"
    """Column of the query."""
    sentence2: str = "passage"
    """Column of the passage."""
    score: str = "relevance"
    """Column of the relevance."""
    score_range: tuple[Score, Score] = (0.0, 1.0)
    """Lowest relevance, which is none, and highest; a row outside is refused."""

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns; raises DataError with file and line."""
        from stsflow.tasks.shapes.shaping import shape_judged_pairs

        del allow_empty  # an empty query has a meaning here
        return shape_judged_pairs(reading, self, subject)


Shape = Annotated[NliTriplets | Triplets | Pairs | ScoredPairs, Field(discriminator="kind")]
