"""Rows whose texts a teacher has scored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.ground.several import Several
from stsflow.tasks.shapes.family import Roles
from stsflow.tasks.shapes.n_tuples import MOST_NEGATIVES, RowsWithNegatives

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.reading.rows import Lists, Reading
    from stsflow.tasks.shapes.n_tuples import Chosen
    from stsflow.tasks.shapes.shaped import Shaped


class Taught(RowsWithNegatives):
    """Rows of an anchor and texts that a teacher has scored against it: the positive and the negatives."""

    kind: Literal["taught"] = "taught"
    default_loss: ClassVar[str] = "margin_mse"
    negatives: int = Field(default=1, ge=1, le=MOST_NEGATIVES)
    """Negatives of each row that comes out."""
    scores: str = "score"
    """Field with the teacher's numbers: a number, a list, or what the names of their columns begin with."""
    scores_are: Literal["scores", "margins"] = "scores"
    """`scores`: one for the positive and one for each negative. `margins`: for each negative, by how much the
    positive's score is above its own; rows become scores of which the positive's is 0, which teach the same."""

    @property
    def roles(self) -> Roles:
        """As of n-tuples, and the scores."""
        return replace(super().roles, taught="scores")

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (*super().reads, Several(self.scores))

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """anchor, positive, negative_1, …, and `scores`: a list of one number for each text beside the anchor.

        Raises DataError, naming file and line, for a missing score and for what is no number, and as `chosen` does.
        """
        import numpy as np
        import pyarrow as pa

        from stsflow.tasks.shapes.shaped import Shaped

        chosen = self.chosen(reading, subject, allow_empty)
        lists = reading.lists_of_numbers(self.scores)
        self._check_scores(reading, subject, chosen, lists)
        values, starts = lists.values.to_numpy(), lists.starts[chosen.rows, None]
        if self.scores_are == "scores":
            places = np.concatenate([np.zeros((len(chosen.rows), 1), np.int64), chosen.places + 1], axis=1)
            scores = values[starts + places]
        else:
            scores = np.concatenate([np.zeros((len(chosen.rows), 1)), -values[starts + chosen.places]], axis=1)
        rows, width = scores.shape
        offsets = pa.array(np.arange(0, rows * width + 1, width), pa.int32())
        column = pa.ListArray.from_arrays(offsets, pa.array(scores.ravel()))
        return Shaped(chosen.texts.append_column("scores", column), chosen.dropped, chosen.notes)

    def _check_scores(self, reading: Reading, subject: str, chosen: Chosen, lists: Lists) -> None:
        import numpy as np

        from stsflow.tasks.ground.errors import DataError
        from stsflow.tasks.reading.rows import and_more

        wanted: NDArray[np.int64] = chosen.found + (self.scores_are == "scores")
        found = lists.counts[chosen.rows]
        if (wrong := np.flatnonzero(found != wanted)).size:
            at = int(wrong[0])
            raise DataError(
                f"{reading.where(int(chosen.rows[at]))}: the row of {subject} has {found[at] or 'no'} teacher "
                f"{'score' if found[at] == 1 else 'scores'}{and_more(wrong.size - 1)}, and {wanted[at]} belong to it: "
                + ("one for the positive and each negative." if self.scores_are == "scores" else "one a negative.")
            )
        of_row = np.repeat(np.arange(len(lists.counts)), lists.counts)
        unsound = np.isnan(lists.values.to_numpy()) & np.isin(of_row, chosen.rows)
        if unsound.any():
            raise DataError(
                f"{reading.where(int(of_row[unsound.argmax()]))}: a teacher score of {subject} is not a finite number"
                f"{and_more(int(unsound.sum()) - 1, 'score')}."
            )
