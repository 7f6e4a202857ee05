"""Which of an anchor's candidates become its negatives: plain numbers in and out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.recipe.sections import MiningConfig

Mask = NDArray[np.bool_]


def taken_in_turns(*found: NDArray[np.int64]) -> NDArray[np.int64]:
    """The candidates of several finders, (anchors, k) each with -1 for none, in turns: first of one, first of the
    other, second of one. What an earlier place holds is -1 in a later one.
    """
    if len(found) == 1:
        return found[0]
    ids = np.stack(found, axis=2).reshape(len(found[0]), -1)
    order = np.argsort(ids, axis=1, kind="stable")
    in_order = np.take_along_axis(ids, order, axis=1)
    again = np.zeros(ids.shape, bool)
    np.put_along_axis(again, order[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    return np.where(again, -1, ids)


@dataclass
class Chosen:
    """The negatives of some anchors."""

    ids: NDArray[np.int64]
    """(anchors, n), -1 in the places that stayed empty, which are the last."""
    scores: NDArray[np.float64]
    """(anchors, n) of the judge; NaN in empty places."""
    candidates: int = 0
    """Texts that were looked at."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Of them, by the first filter that rejected them."""


def looked_at(ids: NDArray[np.int64], never: dict[str, Mask], depth: int) -> tuple[Mask, Counter[str]]:
    """The `depth` first candidates of each anchor that may be negatives at all, and what may never be, by reason."""
    left: Mask = ids >= 0
    counts: Counter[str] = Counter()
    for reason, mask in never.items():
        counts[reason] += int((left & mask).sum())
        left = left & ~mask
    return left & (np.cumsum(left, axis=1) <= depth), counts


def choose(
    ids: NDArray[np.int64], scores: NDArray[np.float64], positive: NDArray[np.float64], left: Mask,
    config: MiningConfig, random: np.random.Generator,
) -> Chosen:  # fmt: skip
    """The negatives that the filters of `config` leave of the candidates `left`, nearest first.

    `ids` and `scores` are (anchors, candidates), nearest first; `positive` is the lowest score of each anchor's
    positives. Margins are those of sentence-transformers' `mine_hard_negatives`: a candidate is rejected when its score
    exceeds the positive's less the margin, and a relative margin is a share of the positive's magnitude.
    """
    candidates, rejected = int(left.sum()), Counter[str]()
    anchor = positive[:, None]
    filters = {
        "min_score": None if config.min_score is None else scores < config.min_score,
        "max_score": None if config.max_score is None else scores > config.max_score,
        "absolute_margin": None if config.absolute_margin is None else scores > anchor - config.absolute_margin,
        "relative_margin": None
        if config.relative_margin is None
        else scores > anchor - np.abs(anchor) * config.relative_margin,
    }
    for name, mask in filters.items():
        if mask is not None:
            rejected[name] += int((left & mask).sum())
            left = left & ~mask
    if config.skip:
        nearest = left & (np.cumsum(left, axis=1) <= config.skip)
        rejected["skip"] += int(nearest.sum())
        left = left & ~nearest
    if config.sampling == "random":
        drawn = np.where(left, random.random(left.shape), np.inf)
        worst = np.sort(drawn, axis=1)[:, min(config.negatives, drawn.shape[1]) - 1]
        left = left & (drawn <= worst[:, None])
    else:
        left = left & (np.cumsum(left, axis=1) <= config.negatives)
    chosen = Chosen(
        np.full((len(ids), config.negatives), -1, np.int64), np.full((len(ids), config.negatives), np.nan),
        candidates, rejected,
    )  # fmt: skip
    row, column = np.nonzero(left)
    place = np.cumsum(left, axis=1)[row, column] - 1
    chosen.ids[row, place], chosen.scores[row, place] = ids[row, column], scores[row, column]
    return chosen
