"""Seeds and rows together: how far the mean over seeds of a recipe is known, and how many seeds a claim takes.

Every seed is measured on the same rows, so that seeds and rows are crossed. With s the variance between seeds (of one
seed's score, what the rows do to it included) and k seeds of a recipe, the variance of the difference of two means is

    rows + s(first) / k(first) + s(second) / k(second)

where `rows` is what the rows alone contribute. A bootstrap of the rows, with all seeds on the same resamples, gives the
variance of the difference of the means; what it holds of seeds reacting to rows differently (the interaction, which the
spread between seeds holds as well) is subtracted. That is the analysis of variance of two crossed random effects:
Searle, Casella and McCulloch, Variance Components (1992), chapter 4; a bootstrap that draws seeds and rows at once
estimates the same, but with the interaction counted twice and the few seeds' variance too small by 1 - 1/k (Owen, The
Pigeonhole Bootstrap, 2007).

Three seeds say little of their own variance, so the interval takes the quantile of Student's t, with Satterthwaite's
degrees of freedom (An Approximate Distribution of Estimates of Variance Components, 1946). Where three seeds happen to
agree, that approximation takes the rows' many degrees of freedom for the seeds' and covers too little (92 % for 95 %);
the interval is therefore never narrower than that of the seeds alone. `benchmarks/seed_coverage.py` measures the
coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stsflow.tasks.statistics.correlation import Floats

MOST_SEEDS = 1000
"""Beyond this many seeds no number of them is said."""


@dataclass(frozen=True)
class Spread:
    """How far the difference of two groups' means is known."""

    difference: float
    """Second minus first."""
    rows: int
    row_variance: float
    """What the rows contribute to the variance of the difference, however many seeds there are."""
    seed_variances: tuple[float, float]
    """Of one seed's score of either group; 0 for a single model."""
    seeds: tuple[int, int]

    @classmethod
    def of(cls, first: ArrayLike, second: ArrayLike, rows: int, row_variance: float) -> Spread:
        """From the scores of either group on the rows as they are, one a seed.

        A single model stands for itself alone: nothing is claimed of its recipe, and no seed of it varies.
        """
        a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
        variances = [float(scores.var(ddof=1)) if len(scores) > 1 else 0.0 for scores in (a, b)]
        return cls(float(b.mean() - a.mean()), rows, row_variance, (variances[0], variances[1]), (len(a), len(b)))

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return math.sqrt(self.row_variance + sum(self._of_means))

    def half_width(self, confidence: float) -> float:
        """Of the two-sided interval; infinite where nothing varies that is known."""
        from scipy.special import stdtrit  # light beside scipy.stats

        tail, of_seeds = 0.5 + confidence / 2.0, sum(self._of_means)
        found = self.error * float(stdtrit(self._degrees(self.row_variance), tail))
        if not of_seeds:
            return found
        return max(found, math.sqrt(of_seeds) * float(stdtrit(self._degrees(0.0), tail)))

    def power(self, difference: float, confidence: float) -> float:
        """How probably a true difference of this size would be told from zero (noncentral t)."""
        from scipy.special import nctdtr

        if not self.error:
            return 1.0
        bar = self.half_width(confidence) / self.error
        found = 1.0 - nctdtr(self._degrees(self.row_variance), abs(difference) / self.error, bar)
        return float(found)

    def with_seeds(self, seeds: int) -> Spread:
        """The same with so many seeds in each group that is a recipe's."""
        first, second = (seeds if count > 1 else 1 for count in self.seeds)
        return Spread(self.difference, self.rows, self.row_variance, self.seed_variances, (first, second))

    @property
    def _of_means(self) -> tuple[float, float]:
        first, second = (var / k for var, k in zip(self.seed_variances, self.seeds, strict=True))
        return first, second

    def _degrees(self, row_variance: float) -> float:
        """Satterthwaite's degrees of freedom of a variance with this part for the rows."""
        parts = [(row_variance, self.rows - 1)]
        parts += [(part, k - 1) for part, k in zip(self._of_means, self.seeds, strict=True) if k > 1]
        spread = sum(part**2 / degrees for part, degrees in parts if degrees > 0)
        return sum(part for part, _ in parts) ** 2 / spread if spread else float(max(1, self.rows - 1))


def row_variance(first: Floats, second: Floats) -> float:
    """What the rows contribute to the variance of second minus first, each a mean over seeds; `nan` where undefined.

    Both are (seeds, resamples): each seed's score on resampled rows, the same rows for all of them. Resamples in which
    a score is not defined are passed over.
    """
    defined = ~np.isnan(np.concatenate([first, second])).any(axis=0)
    if defined.sum() < 2:
        return math.nan
    a, b = first[:, defined], second[:, defined]
    return max(0.0, float((b.mean(axis=0) - a.mean(axis=0)).var()) - _interaction(a) - _interaction(b))


def _interaction(values: Floats) -> float:
    """Variance of the mean over seeds that comes from seeds reacting to rows differently; 0 for a single model."""
    seeds = len(values)
    if seeds < 2:
        return 0.0
    return float((values - values.mean(axis=0)).var(axis=1).sum() / (seeds - 1) / seeds)


def seeds_needed(spread: Spread, difference: float, *, power: float = 0.8, confidence: float = 0.95) -> int | None:
    """Fewest seeds of each recipe at which a true `difference` would be told from zero with probability `power`.

    None where no number of seeds up to MOST_SEEDS would do on these rows: the rows alone leave more open than that, or
    the difference is zero.
    """
    if not difference or math.isnan(difference) or math.isnan(spread.row_variance):
        return None

    def enough(seeds: int) -> bool:
        return spread.with_seeds(seeds).power(difference, confidence) >= power

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # the power rises with the seeds; one seed says nothing of seeds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def expected_maximum(count: int) -> float:
    """Expected largest of `count` independent standard normal draws (1.1630 for 5): the inflation of a best-of-k.

    The integral of the quantile function over the distribution of the largest rank, by the midpoint rule; the values
    are tabled in Harter, Expected Values of Normal Order Statistics (Biometrika, 1961).
    """
    from statistics import NormalDist

    normal, points = NormalDist(), 20_000
    middles = ((index + 0.5) / points for index in range(points))
    return sum(normal.inv_cdf(middle ** (1 / count)) for middle in middles) / points


def mean_and_deviation(scores: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) of scores over seeds."""
    found = np.asarray(scores, dtype=np.float64)
    return float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else math.nan
