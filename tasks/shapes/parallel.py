"""Rows that are a text and its translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.ground.several import Several
from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.shapes.shaped import Shaped


class Parallel(Shape):
    """Rows that are a source text and its translations; each translation gives a pair."""

    kind: Literal["parallel"] = "parallel"
    roles: ClassVar[Roles] = Roles(("source", "translation"))
    default_loss: ClassVar[str] = "multiple_negatives_ranking"
    row_for_row: ClassVar[bool] = False
    symmetric: ClassVar[bool] = True
    source: str = "source"
    """Column of the source text, in the language that the base model or the teacher knows."""
    translations: tuple[str, ...] = Field(default=("translation",), min_length=1)
    """Columns of the translations, such as `[ko, ja]`; each may be a text, a list field, or what the names of numbered
    columns begin with."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.source, *map(Several, self.translations))

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """(source, translation) for every translation that is there, row by row; a row without any is left out."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from stsflow.tasks.shapes.shaped import Shaped, dropped_as_empty, with_text

        lists = [reading.lists_of_texts(name) for name in self.translations]
        source = reading.texts(self.source).cast(pa.string())
        first = np.where(sum(one.counts for one in lists) > 0, "there", "")
        table = pa.table({"source": source, "translation": pa.array(first.tolist(), pa.string())})
        keep = with_text(reading, table, table.column_names, subject, allow_empty)
        rows = np.concatenate([np.repeat(np.arange(reading.rows), one.counts) for one in lists])
        order = np.argsort(rows, kind="stable")
        texts = pa.concat_arrays([one.values for one in lists]).take(pa.array(order))
        pairs = pa.table({"source": pc.take(source, pa.array(rows[order])), "translation": texts})
        return Shaped(pairs.filter(pa.array(keep[rows[order]])), dropped_as_empty(keep))
