"""Rows that are an anchor, a positive and several negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.ground.several import Several
from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.shapes.shaped import Shaped

MOST_NEGATIVES = 64


@dataclass(frozen=True)
class Chosen:
    """Which negatives the rows that stay have."""

    rows: NDArray[np.int64]
    """Raw rows that stay, from 0."""
    places: NDArray[np.int64]
    """(rows, negatives): which one of its row's own, from 0."""
    found: NDArray[np.int64]
    """Of each row, how many it has."""
    texts: pa.Table
    """Anchor, positive, and the negatives."""
    dropped: dict[str, int]
    notes: dict[str, int]


class RowsWithNegatives(Shape):
    """What rows with an anchor, a positive and a list of negatives have in common."""

    default_loss: ClassVar[str] = "multiple_negatives_ranking"
    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive."""
    negative: str = "negative"
    """Field with the list of negatives, or what the names of their columns begin with: `negative_1`, `negative_2`, …"""
    negatives: int = Field(default=4, ge=1, le=MOST_NEGATIVES)
    """Negatives of each row that comes out."""
    fewer: Literal["refuse", "drop", "repeat"] = "refuse"
    """Rows with fewer negatives are refused; or left out; or begin again with their first one until they have enough.
    """
    more: Literal["refuse", "first"] = "refuse"
    """Rows with more negatives are refused, or keep their first ones."""

    @property
    def roles(self) -> Roles:
        """Anchor, positive, and the negatives by number."""
        numbered = (f"negative_{number}" for number in range(1, self.negatives + 1))
        return Roles(("anchor", "positive", *numbered), negatives=self.negatives)

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.anchor, self.positive, Several(self.negative))

    def chosen(self, reading: Reading, subject: str, allow_empty: bool) -> Chosen:
        """The rows that stay and their negatives.

        Raises DataError, naming file and line, for a row with another number of negatives where the shape refuses it,
        with none where they would be repeated, and with a negative that is its positive or its anchor.
        """
        import numpy as np
        import pyarrow as pa

        from stsflow.tasks.shapes.shaped import dropped_as_empty, with_text

        pairs = pa.table(
            {name: reading.texts(getattr(self, name)).cast(pa.string()) for name in ("anchor", "positive")}
        )
        keep = with_text(reading, pairs, pairs.column_names, subject, allow_empty)
        dropped, notes = dropped_as_empty(keep), dict[str, int]()
        lists = reading.lists_of_texts(self.negative)
        few, many = keep & (lists.counts < self.negatives), keep & (lists.counts > self.negatives)
        if self.fewer == "refuse":
            self._refuse(reading, subject, few, lists.counts, "Set shape.fewer to `drop` or `repeat`, or take fewer.")
        elif self.fewer == "repeat":
            empty = few & (lists.counts == 0)
            self._refuse(reading, subject, empty, lists.counts, "There is none to repeat: remove the row.")
        if self.more == "refuse":
            self._refuse(reading, subject, many, lists.counts, "Set shape.more to `first`, or take more.")
        if few.any():
            notes |= {"negatives_repeated": int(few.sum())} if self.fewer == "repeat" else {}
            dropped |= {"too_few_negatives": int(few.sum())} if self.fewer == "drop" else {}
        if many.any():
            notes["more_negatives_than_taken"] = int(many.sum())
        rows = np.flatnonzero(keep & ~few if self.fewer == "drop" else keep)
        places = np.arange(self.negatives) % np.maximum(lists.counts[rows], 1)[:, None]
        texts = pairs.take(pa.array(rows))
        for number in range(self.negatives):
            picked = lists.values.take(pa.array(lists.starts[rows] + places[:, number]))
            texts = texts.append_column(f"negative_{number + 1}", picked)
        self._check_negatives(reading, subject, texts, rows)
        return Chosen(rows, places, lists.counts[rows], texts, dropped, notes)

    def _refuse(
        self, reading: Reading, subject: str, wrong: NDArray[np.bool_], counts: NDArray[np.int64], remedy: str
    ) -> None:
        from stsflow.tasks.ground.errors import DataError
        from stsflow.tasks.reading.rows import and_more

        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{reading.where(row)}: the row has {counts[row] or 'no'} negative{'s' if counts[row] > 1 else ''}"
                f"{and_more(int(wrong.sum()) - 1)}, and {subject} takes {self.negatives} (shape.negatives). {remedy}"
            )

    def _check_negatives(self, reading: Reading, subject: str, texts: pa.Table, rows: NDArray[np.int64]) -> None:
        """Raise DataError for a row that calls the same text right and wrong."""
        import numpy as np
        import pyarrow.compute as pc

        from stsflow.tasks.ground.errors import DataError
        from stsflow.tasks.reading.rows import and_more, cut

        for name in ("positive", "anchor"):
            for column in texts.column_names[2:]:
                same = pc.equal(texts[column], texts[name]).to_numpy(zero_copy_only=False)
                if same.any():
                    at = int(np.flatnonzero(same)[0])
                    raise DataError(
                        f"{reading.where(int(rows[at]))}: a negative of {subject} is the row's {name}, "
                        f"{cut(texts[name][at].as_py())}{and_more(int(same.sum()) - 1)}. Remove it from the negatives."
                    )


class NTuples(RowsWithNegatives):
    """Rows that are an anchor, a positive and several negatives: a list field, or numbered columns."""

    kind: Literal["n_tuples"] = "n_tuples"

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """anchor, positive, negative_1, negative_2, …; raises as `chosen` does."""
        from stsflow.tasks.shapes.shaped import Shaped

        chosen = self.chosen(reading, subject, allow_empty)
        return Shaped(chosen.texts, chosen.dropped, chosen.notes)
