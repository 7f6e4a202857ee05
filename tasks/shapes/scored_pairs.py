"""Rows that are pairs with a score, and those that are judged: queries and passages with their relevance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.records.findings import Finding
    from stsflow.tasks.shapes.shaped import Shaped

Score = Annotated[float, Field(ge=-1e9, le=1e9)]


class ScoredPairs(Shape):
    """Rows that are two sentences and a similarity score, brought linearly to 0..1."""

    kind: Literal["scored_pairs"] = "scored_pairs"
    roles: ClassVar[Roles] = Roles(("sentence1", "sentence2"), score="score")
    default_loss: ClassVar[str] = "cosine_similarity"
    symmetric: ClassVar[bool] = True
    sentence1: str = "sentence1"
    """Column of the first sentence."""
    sentence2: str = "sentence2"
    """Column of the second sentence."""
    score: str = "score"
    """Column of the score."""
    score_range: tuple[Score, Score] = (0.0, 5.0)
    """Lowest and highest score; a row outside is refused."""
    ratings: tuple[str, ...] = ()
    """Columns of the single ratings whose mean the score is, one a rater, for suites that report how far their noise
    lets any model get; a rater's column may be empty in some rows."""
    keep: tuple[str, ...] = ()
    """Further columns to carry along unchanged, such as `genre`, for suites that report on subsets."""

    @field_validator("score_range")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("score_range is the lowest and the highest score, and the first must be the smaller one")
        return value

    @field_validator("ratings")
    @classmethod
    def _are_several(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        taken = sorted({"sentence1", "sentence2", "score"} & set(value))
        if len(value) == 1 or len(set(value)) < len(value) or taken:
            why = f"{taken[0]!r} is a column of the prepared rows" if taken else "one rater agrees with nobody"
            raise ValueError(f"ratings are the columns of two raters or more, each named once; {why}")
        return value

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (*super().reads, *dict.fromkeys((*self.ratings, *self.keep)))

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """sentence1, sentence2, score (brought linearly from `score_range` to 0..1) and the kept columns.

        Raises DataError for a score that is no number or lies outside the range, naming file and line of the first one
        and how many there are.
        """
        from stsflow.tasks.sets.spilled import rows_kept
        from stsflow.tasks.shapes.shaped import Shaped, dropped_as_empty, with_text

        scores = self._scores(reading, subject)
        table = self._table(reading, scores)
        keep = with_text(reading, table, self.roles.texts, subject, allow_empty)
        findings = describe_scores(subject, scores, *self.score_range) if len(scores) else ()
        return Shaped(rows_kept(table, keep), dropped_as_empty(keep), findings=findings)

    def _table(self, reading: Reading, scores: NDArray[np.float64]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        low, high = self.score_range
        columns = {
            "sentence1": reading.texts(self.sentence1).cast(pa.string()),
            "sentence2": reading.texts(self.sentence2).cast(pa.string()),
            "score": pa.array((scores - low) / (high - low), pa.float64()),
        }
        return pa.table(
            columns
            | {name: pc.fill_null(reading.column(name), "").cast(pa.string()) for name in self.keep}
            | {name: pa.array(self._ratings(reading, name), pa.float64()) for name in self.ratings}
        )

    def _ratings(self, reading: Reading, name: str) -> NDArray[np.float64]:
        """One rater's numbers, NaN where none was given; raises DataError, with the line, for what is no number."""
        import numpy as np
        import pyarrow.compute as pc

        from stsflow.tasks.ground.errors import DataError
        from stsflow.tasks.reading.rows import and_more, cut

        found = reading.numbers(name)
        given = pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(reading.column(name), "")), "")
        if (wrong := np.flatnonzero(np.isnan(found) & given.to_numpy(zero_copy_only=False))).size:
            row = int(wrong[0])
            raise DataError(
                f"{reading.where(row)}: the rating in {name} is {cut(reading.column(name)[row].as_py() or '')}, which "
                f"is not a number{and_more(wrong.size - 1)}; a row that this rater left out is empty there."
            )
        return found

    def _scores(
        self, reading: Reading, subject: str, may_be_empty: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """The scores as they are written; the lowest for rows that `may_be_empty` and are."""
        import re

        import numpy as np
        import pyarrow.compute as pc

        from stsflow.tasks.ground.errors import DataError
        from stsflow.tasks.reading.rows import and_more, cut

        scores = reading.numbers(self.score)
        low, high = self.score_range
        if may_be_empty is not None:
            texts = pc.utf8_trim_whitespace(pc.fill_null(reading.column(self.score), ""))
            scores[may_be_empty & pc.equal(texts, "").to_numpy(zero_copy_only=False)] = low
        if (wrong := np.flatnonzero(np.isnan(scores))).size:
            row = int(wrong[0])
            found = reading.column(self.score)[row].as_py() or ""
            comma = bool(re.fullmatch(r"\s*-?\d+,\d+\s*", found))
            raise DataError(
                f"{reading.where(row)}: the score of {subject} is {cut(found)}, which is not a number"
                f"{and_more(wrong.size - 1)}.{' Where a comma is the decimal mark, set `decimal`.' if comma else ''}"
            )
        if (wrong := np.flatnonzero((scores < low) | (scores > high))).size:
            row = int(wrong[0])
            raise DataError(
                f"{reading.where(row)}: the score of {subject} is {scores[row]:g}, outside of {low:g} to {high:g} "
                f"(shape.score_range){and_more(wrong.size - 1)}."
            )
        return scores


class JudgedPairs(ScoredPairs):
    """Rows that are a query, a passage and how relevant it is; the lowest score of the range is not relevant at all.

    A row without a query is a passage of the corpus that nobody asks for; its relevance may be left empty.
    """

    symmetric: ClassVar[bool] = False

    @field_validator("ratings")
    @classmethod
    def _are_several(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise ValueError("several ratings a row are of scored pairs; judged pairs have none")
        return value

    sentence1: str = "query"
    """Column of the query."""
    sentence2: str = "passage"
    """Column of the passage."""
    score: str = "relevance"
    """Column of the relevance; empty: there is none, and each row's passage is what its query asks for."""
    score_range: tuple[Score, Score] = (0.0, 1.0)
    """Lowest relevance, which is none, and highest; a row outside is refused."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return tuple(name for name in super().reads if name)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """As scored pairs, but a row without a query stays: it puts its passage into the corpus.

        Raises DataError, naming file and line, for a wrong score and for a relevant passage without a query.
        """
        import numpy as np
        import pyarrow.compute as pc

        from stsflow.tasks.ground.errors import DataError
        from stsflow.tasks.reading.rows import and_more
        from stsflow.tasks.sets.spilled import rows_kept
        from stsflow.tasks.shapes.shaped import Shaped, dropped_as_empty

        del allow_empty  # an empty query has a meaning here
        low = self.score_range[0]
        unasked = pc.equal(reading.texts(self.sentence1), "").to_numpy(zero_copy_only=False)
        if self.score:
            scores = self._scores(reading, subject, may_be_empty=unasked)
        else:
            scores = np.where(unasked, *self.score_range).astype(np.float64)
        if (wrong := np.flatnonzero(unasked & (scores > low))).size:
            raise DataError(
                f"{reading.where(int(wrong[0]))}: the passage is relevant ({scores[wrong[0]]:g}) to an empty query"
                f"{and_more(wrong.size - 1)}; without a query the relevance is {low:g} or left empty."
            )
        table = self._table(reading, scores)
        keep = pc.not_equal(table["sentence2"], "").to_numpy(zero_copy_only=False)
        without = int((unasked & keep).sum())
        notes = {"passages_without_query": without} if without else {}
        return Shaped(rows_kept(table, keep), dropped_as_empty(keep), notes)


def describe_scores(subject: str, scores: NDArray[np.float64], low: float, high: float) -> tuple[Finding, ...]:
    """Range and granularity of gold scores; a warning when they use little of the declared range.

    `scores` are on the scale of `low`..`high`.
    """
    import numpy as np

    from stsflow.tasks.records.findings import Finding

    values = np.unique(scores)
    step = float(np.diff(values).min()) if len(values) > 1 else 0.0
    found = Finding(
        severity="info", code="integrity.scores", subject=subject,
        message=f"Scores run from {values[0]:g} to {values[-1]:g} in {len(values):,} distinct values, at least "
        f"{step:.3g} apart; the declared range is {low:g} to {high:g}.",
        numbers={"minimum": float(values[0]), "maximum": float(values[-1]), "distinct": len(values), "step": step},
    )  # fmt: skip
    if len(values) == 1 or values[-1] - values[0] >= (high - low) / 2:  # of one value no scale can be told
        return (found,)
    return (
        found,
        Finding(
            severity="warning", code="integrity.score_range", subject=subject,
            message=f"Scores run from {values[0]:g} to {values[-1]:g} and use less than half of the declared range "
            f"{low:g} to {high:g}.",
            remedy="Set `shape.score_range` to the scale of the data.",
        ),
    )  # fmt: skip
