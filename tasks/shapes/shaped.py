"""Rows in their final columns, and what is said of rows that do not become any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.rows import Reading, and_more
from stsflow.tasks.records.findings import Finding

if TYPE_CHECKING:
    from stsflow.tasks.shapes.family import Shape


@dataclass(frozen=True)
class Shaped:
    """The rows of one data set in their final columns."""

    table: pa.Table
    """Text columns are `string`, scores `float64`."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Raw rows that were left out, by reason."""
    notes: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def shape_texts(reading: Reading, shape: Shape, subject: str, allow_empty: bool) -> Shaped:
    """The texts that `shape` reads, under the names of its roles; rows with an empty one are left out and counted."""
    names = zip(shape.roles.texts, shape.reads, strict=True)
    table = pa.table({new: reading.texts(old).cast(pa.string()) for new, old in names})
    keep = with_text(reading, table, shape.roles.texts, subject, allow_empty)
    return Shaped(table.filter(keep), dropped_as_empty(keep))


def with_text(
    reading: Reading, table: pa.Table, names: Sequence[str], subject: str, allow_empty: bool,
    used: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:  # fmt: skip
    """Which of the `used` rows have a text in every one of the columns; with `allow_empty` false, all of them must."""
    wanted = np.ones(table.num_rows, bool) if used is None else used
    keep = wanted.copy()
    for name in names:
        keep &= pc.not_equal(table.column(name), "").to_numpy(zero_copy_only=False)
    if not allow_empty and not keep[wanted].all():
        empty = np.flatnonzero(wanted & ~keep)
        raise DataError(
            f"{reading.where(int(empty[0]))}: the row has an empty sentence{and_more(len(empty) - 1)}, which "
            f"{subject} refuses (allow_empty_fields: false)."
        )
    return keep


def dropped_as_empty(keep: NDArray[np.bool_]) -> dict[str, int]:
    """The count of rows that are not kept, where there are some."""
    return {} if keep.all() else {"empty": int((~keep).sum())}
