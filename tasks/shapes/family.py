"""The family of shapes: which columns rows become, and what each of the columns is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from stsflow.tasks.ground.family import Kind

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.shapes.shaped import Shaped


@dataclass(frozen=True)
class Roles:
    """The columns that a loss or a suite takes, by what they are for."""

    texts: tuple[str, ...]
    """Columns of texts, in order: the anchor, what is compared with it, and last the negatives."""
    negatives: int = 0
    """How many of the texts are negatives, which do not belong to the anchor."""
    score: str | None = None
    """Column of the number, 0 to 1, that says how much the texts belong together; None where all but the negatives do.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in order."""
        return self.texts if self.score is None else (*self.texts, self.score)

    @property
    def anchor(self) -> str:
        """Column of the text that the others are compared with."""
        return self.texts[0]


class Shape(Kind):
    """What the rows of a source become. A prepared set names its shape; `Shape.of(name)` knows the traits."""

    roles: ClassVar[Roles]
    """The columns that come out; on disk, further ones may follow."""
    default_loss: ClassVar[str]
    """Kind of the loss of a training set of this shape for which the recipe names none."""
    row_for_row: ClassVar[bool] = True
    """Whether each row that comes out is one that was read."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source: here, those that the fields named like the roles' columns name."""
        return tuple(getattr(self, column) for column in self.roles.columns)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns: here, rows that already are what they become. Raises DataError with file
        and line.
        """
        from stsflow.tasks.shapes.shaped import shape_texts

        return shape_texts(reading, self, subject, allow_empty)
