"""A part of the rows that were read: no two parts share a value of the columns that they are made by.

Rows are grouped by shared values (the connected components of rows and values), and each group goes to a part by the
hash of its smallest value and the seed. So a group's part depends on nothing but its own rows: not on their order, nor
on the other groups, and whoever reads the same files finds the same parts.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.reading.rows import Reading
from stsflow.tasks.records.findings import Finding

if TYPE_CHECKING:
    from stsflow.tasks.sources.part import Part

LARGE_GROUP = 0.05
"""A group with more of all rows than this makes the shares of the parts a matter of luck."""


def part_of(reading: Reading, part: Part) -> Reading:
    """The rows of the part, in order, each with its file and line; raises DataError where there is none.

    Values are compared as the check for leakage compares texts: in NFKC, case-folded, without punctuation and spacing.
    An empty value joins no rows.
    """
    groups, first = _groups(reading, part.by)
    deals = np.array([_deal(value, part.seed) for value in first])[groups]
    taken = {
        "test": deals < part.test,
        "dev": (deals >= part.test) & (deals < part.test + part.dev),
        "train": deals >= part.test + part.dev,
    }[part.take]
    if not taken.any():
        raise DataError(
            f"{reading.files[0].shown}: the part {part.take} of its {len(taken):,} rows in {len(first):,} groups (by "
            f"{', '.join(part.by)}) holds none. Give it a larger share, or another seed."
        )
    files, start = [], 0
    for rows in reading.files:
        here = taken[start : start + rows.table.num_rows]
        files.append(replace(rows, table=rows.table.filter(pa.array(here)), positions=rows.positions[here]))
        start += len(here)
    found = _described(files[0].shown, part, taken, groups, len(first))
    files[0] = replace(files[0], findings=(*files[0].findings, found))
    return Reading(tuple(files))


def _groups(reading: Reading, columns: tuple[str, ...]) -> tuple[NDArray[np.int64], list[str]]:
    """Of each row its group, from 0; and of each group its smallest value, or empty."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, texts = [np.zeros(0, np.int64)], list[str]()
    for name in columns:
        parents, values = reading.values(name)
        rows.append(parents)
        texts += values
    keys: dict[str, str] = {}
    for text in texts:
        if text not in keys:
            keys[text] = normalised(text)
    distinct, numbers = np.unique(np.array([keys[text] for text in texts], dtype=object), return_inverse=True)
    row, total = np.concatenate(rows), reading.rows
    links = coo_matrix(
        (np.ones(len(row), np.int8), (row, total + numbers)), shape=(total + len(distinct), total + len(distinct))
    )
    _, labels = connected_components(links, directed=False)
    _, groups = np.unique(labels[:total], return_inverse=True)
    smallest = np.full(groups.max(initial=-1) + 1, len(distinct))
    np.minimum.at(smallest, groups[row], numbers)
    return groups, [str(distinct[one]) if one < len(distinct) else "" for one in smallest]


def _deal(value: str, seed: int) -> float:
    """A number from 0 to 1 that hangs on the value and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{value}".encode()).digest()[:8], "big") / 2**64


def _described(shown: str, part: Part, taken: NDArray[np.bool_], groups: NDArray[np.int64], count: int) -> Finding:
    rows, largest = len(taken), int(np.bincount(groups).max())
    share = float(taken.mean())
    uneven = largest > LARGE_GROUP * rows
    return Finding(
        severity="warning" if uneven else "info", code="integrity.part", subject=shown,
        message=f"The part {part.take} holds {int(taken.sum()):,} of {rows:,} rows ({share:.2%}; asked for: "
        f"{part.share:.2%} of {count:,} groups of rows that share a value of {', '.join(part.by)}; the largest group "
        f"has {largest:,} rows).",
        remedy="A value that many rows share, such as a stock phrase, joins them: leave its rows out, or name columns "
        "that join fewer." if uneven else "",
        numbers={"rows": float(taken.sum()), "of": float(rows), "groups": float(count), "largest": float(largest)},
    )  # fmt: skip
