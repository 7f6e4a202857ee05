"""Two models on many parts of the same rows: intervals and p-values that hold for all parts together.

The models are swapped within rows at random, the same swaps for every part, and the largest studentised difference of
all parts is what a single one is held against (Westfall and Young, Resampling-Based Multiple Testing, 1993, the
single-step maxT procedure). That takes the parts as they are, overlapping or not: ten parts that are nearly the same
cost little more than one. Where the models are exchangeable the share of families with any alarm is exactly the level,
for small parts too, where a bootstrap of a thousand small parts alarms several times as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.statistics.bootstrap import CELLS_AT_A_TIME
from stsflow.tasks.statistics.correlation import Floats

Swapped = NDArray[np.bool_]
"""(swaps, rows): where the models are exchanged."""
UnderSwaps = Callable[[Swapped], Floats]
"""Second minus first under each swap of the rows of one part."""

MOST_SWAPS = 2_000
"""The level of the family is then known to half a point, and a part costs no more than that."""


@dataclass(frozen=True)
class PartDifference:
    """Second minus first on one part of the rows."""

    difference: float
    error: float
    """Standard deviation of the difference when the models are exchanged at random."""
    reach: float
    """Half of the interval that holds for all parts together."""
    p_value: float
    """Of this part among all of them: how often the largest of all would be as large by chance."""


def compare_parts(
    parts: Mapping[str, tuple[NDArray[np.intp], UnderSwaps]], rows: int, swaps: int, confidence: float, seed: int
) -> dict[str, PartDifference]:
    """What each part says, by name: its numbers of rows out of `rows`, and its differences under swaps of these.

    A part's interval excludes 0 exactly when its p-value is at most 1 - `confidence`. A part on which a difference is
    not defined under some swap is left out.
    """
    if not parts or swaps < 1:
        return {}
    names, swaps = list(parts), min(swaps, MOST_SWAPS)
    none = np.zeros((1, rows), dtype=bool)
    observed = np.array([parts[name][1](none[:, parts[name][0]])[0] for name in names])
    drawn = np.empty((len(names), swaps))
    generator, block = np.random.default_rng(seed), max(1, CELLS_AT_A_TIME // rows)
    for start in range(0, swaps, block):
        swapped = generator.random((min(block, swaps - start), rows)) < 0.5
        for number, name in enumerate(names):
            chosen, differences = parts[name]
            drawn[number, start : start + len(swapped)] = differences(swapped[:, chosen])
    errors = np.sqrt(np.mean(drawn**2, axis=1))
    usable = np.isfinite(errors) & np.isfinite(observed)
    scale = np.where(usable & (errors > 0), errors, 1.0)[:, None]
    largest = np.where(usable[:, None], np.abs(drawn) / scale, 0.0).max(axis=0)
    in_order = np.sort(largest)[::-1]
    allowed = int(np.floor((1.0 - confidence) * (swaps + 1) + 1e-9))  # of those, the observed one counts as one
    bar = float(in_order[allowed - 1]) if allowed >= 1 else np.inf
    found = {}
    for number, name in enumerate(names):
        if not usable[number]:
            continue
        size = abs(observed[number]) / scale[number, 0]
        as_large = int((largest >= size - 1e-12).sum())
        found[name] = PartDifference(
            float(observed[number]), float(errors[number]), bar * float(errors[number]), (1 + as_large) / (1 + swaps)
        )
    return found
