"""Rows that already are triplets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.shapes.shaped import Shaped


class Triplets(Shape):
    """Rows that already are triplets."""

    kind: Literal["triplets"] = "triplets"
    roles: ClassVar[Roles] = Roles(("anchor", "positive", "negative"), negatives=1)
    default_loss: ClassVar[str] = "multiple_negatives_ranking"
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
        from stsflow.tasks.shapes.shaped import shape_texts

        return shape_texts(reading, self, subject, allow_empty)
