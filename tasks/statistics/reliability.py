"""How far a model can get where gold scores are the mean of several people's noisy ratings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from stsflow.tasks.statistics.correlation import Floats, pearson, spearman

FEWEST_ROWS = 3
"""That two raters must share for their correlation to count."""


@dataclass(frozen=True)
class Reliability:
    """Of the mean of several ratings."""

    between: float
    """Mean correlation of two raters."""
    of_mean: float
    """Reliability of the mean: the squared correlation of the mean with what it would be with raters without number."""
    ceiling: float
    """Expected correlation with the mean of a predictor without error: the root of that."""
    rater: float
    """Mean correlation of one rater with the mean of the others."""
    rows: int
    """Rows with two ratings or more, on which all of this rests."""


def reliability(ratings: Floats, correlation: Literal["pearson", "spearman"]) -> Reliability | None:
    """From (rows, raters), `nan` where a rater gave none; None where no two raters can be correlated.

    The mean of k ratings has the reliability k r / (1 + (k - 1) r), r being the mean correlation of two raters
    (Spearman and Brown, both in the British Journal of Psychology, 1910). Noise in the gold score bounds the
    correlation of anything with it by the root of its reliability (Spearman, The Proof and Measurement of Association
    between Two Things, 1904). Where rows have different numbers of ratings, k is their harmonic mean. For rank
    correlations both formulas are approximations.
    """
    correlate = pearson if correlation == "pearson" else spearman
    given = ~np.isnan(ratings)
    counts = given.sum(axis=1)
    several = counts >= 2
    pairs = [_correlation(ratings[:, a], ratings[:, b], correlate) for a, b in combinations(range(ratings.shape[1]), 2)]
    defined = [value for value in pairs if not math.isnan(value)]
    if not defined or not several.any():
        return None
    between = float(np.mean(defined))
    k = float(several.sum() / (1.0 / counts[several]).sum())
    of_mean = max(0.0, min(1.0, k * between / (1.0 + (k - 1.0) * between))) if between > 0 else 0.0
    alone = []
    for rater in range(ratings.shape[1]):
        others = np.delete(ratings, rater, axis=1)
        rated = np.flatnonzero(given[:, rater] & (~np.isnan(others)).any(axis=1))
        if len(rated) >= FEWEST_ROWS:
            alone.append(_correlation(ratings[rated, rater], np.nanmean(others[rated], axis=1), correlate))
    known = [value for value in alone if not math.isnan(value)]
    return Reliability(
        between, of_mean, math.sqrt(of_mean), float(np.mean(known)) if known else math.nan, int(several.sum())
    )


def _correlation(first: Floats, second: Floats, correlate: Callable[[Floats, Floats], float]) -> float:
    both = ~(np.isnan(first) | np.isnan(second))
    if both.sum() < FEWEST_ROWS:
        return math.nan
    return correlate(first[both], second[both])
