"""Rows in their final columns, and what is said of rows that do not become any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.rows import Reading, and_more, cut
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.sets.spilled import rows_kept

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
    return Shaped(rows_kept(table, keep), dropped_as_empty(keep))


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


def meanings(reading: Reading, column: str, labels: Mapping[str, object], subject: str) -> NDArray[np.object_]:
    """What `labels` says of each row's value in the column; raises DataError for a value of which it says nothing."""
    values = pc.utf8_trim_whitespace(pc.fill_null(reading.column(column), ""))
    encoded = values.dictionary_encode().unify_dictionaries().combine_chunks()
    distinct, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    unknown = [code for code, value in enumerate(distinct) if value not in labels]
    if unknown:
        wrong = np.flatnonzero(np.isin(codes, unknown))
        row = int(wrong[0])
        raise DataError(
            f"{reading.where(row)}: the label of {subject} is {cut(distinct[codes[row]])}{and_more(wrong.size - 1)}; "
            f"shape.labels knows: {', '.join(labels)}. A label of unusable rows may be mapped to `skip`."
        )
    found: NDArray[np.object_] = np.array([labels[value] for value in distinct], dtype=object)[codes]
    return found


def describe_labels(subject: str, counts: Mapping[str, int]) -> tuple[Finding, ...]:
    """How often each label occurs; a warning when one of them does not."""
    found = Finding(
        severity="info", code="integrity.labels", subject=subject,
        message="Labels: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()) + ".",
        numbers=dict(counts),
    )  # fmt: skip
    absent = [name for name, count in counts.items() if count == 0]
    if not absent:
        return (found,)
    return (
        found,
        Finding(
            severity="warning", code="integrity.label_absent", subject=subject,
            message=f"No row is labelled {' or '.join(absent)}.",
            remedy="Check `shape.label` and `shape.labels`.",
        ),
    )  # fmt: skip
