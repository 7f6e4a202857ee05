"""What is known of a suite's rows by themselves, before any model is measured on them."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record


class Agreement(Record):
    """What several ratings of each row say of their own noise."""

    raters: int
    """Columns of ratings."""
    rows: int
    """Rows with two ratings or more."""
    between_raters: float
    """Mean correlation of two raters on the rows that both rated."""
    reliability: float
    """Of the mean of a row's ratings, 0..1."""
    ceiling: float
    """The correlation with that mean that a model without any error is expected to reach."""
    rater: float | None
    """Mean correlation of one rater with the mean of the others: what a person reaches; None where undefined."""


class SuiteQuality(Record):
    """A suite's rows: how far words alone go, what repeats, what its labels allow."""

    metric: str
    """That `lexical` and the ceiling speak of: the suite's primary one."""
    lexical: float | None
    """Score of word overlap in the place of a model (share of character bigrams in common); None where undefined."""
    repeated: int
    """Rows whose texts stood in an earlier row."""
    near: int
    """Rows whose texts stood in an earlier row, equal or nearly equal."""
    threshold: float
    """Jaccard similarity of character bigrams from which texts are nearly equal."""
    agreement: Agreement | None = None
    """None without several ratings a row."""
