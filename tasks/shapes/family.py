"""The family of shapes: which columns rows become, and what each of the columns is for."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

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
    of_two_values: bool = False
    """Whether the score is 0 or 1 and nothing between: together or not."""
    taught: str | None = None
    """Column of what a teacher says: a list of numbers a row. None where there is none."""
    teaches: Literal["scores", "embedding"] = "scores"
    """What the numbers are: a score for each text beside the anchor, or the embedding of the row's text."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in order: texts first, as the trainer wants them."""
        return (*self.texts, *(name for name in (self.score, self.taught) if name is not None))

    @property
    def pairs_texts(self) -> bool:
        """Whether rows are an anchor and its positive, with negatives or without, and nothing else."""
        return self.unlabelled and len(self.texts) - self.negatives == 2

    def mined(self, negatives: int, replaced: bool) -> Roles:
        """The columns when so many negatives are mined: after those that there are, or in their place. All negatives
        are called `negative_1` and so on then.
        """
        kept = self.texts[: len(self.texts) - self.negatives]
        count = negatives if replaced else self.negatives + negatives
        return replace(self, texts=(*kept, *(f"negative_{n}" for n in range(1, count + 1))), negatives=count)

    @property
    def unlabelled(self) -> bool:
        """Whether rows are texts alone."""
        return self.score is None and self.taught is None

    @property
    def scored(self) -> bool:
        """Whether rows carry a score and nothing else beside their texts."""
        return self.score is not None and self.taught is None

    @property
    def anchor(self) -> str:
        """Column of the text that the others are compared with."""
        return self.texts[0]


class Shape(Kind):
    """What the rows of a source become. A prepared set names its shape and keeps its roles."""

    default_loss: ClassVar[str]
    """Kind of the loss of a training set of this shape for which the recipe names none."""
    row_for_row: ClassVar[bool] = True
    """Whether each row that comes out is one that was read."""
    symmetric: ClassVar[bool] = False
    """Whether the texts of a row are all alike, sentences beside sentences; else the anchor asks and the others answer,
    and a model may read the two behind different prompts."""

    @property
    @abstractmethod
    def roles(self) -> Roles:
        """The columns that come out; on disk, further ones may follow."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source, `Several` where a row has a list of values.

        Here, those that the fields named like the roles' columns name.
        """
        return tuple(getattr(self, column) for column in self.roles.columns)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """The rows in their final columns: here, rows that already are what they become. Raises DataError with file
        and line.
        """
        from stsflow.tasks.shapes.shaped import shape_texts

        return shape_texts(reading, self, subject, allow_empty)
