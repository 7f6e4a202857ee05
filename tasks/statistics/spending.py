"""An error budget over repeated tests on the same rows: what each may take of it, and how far a gain must reach.

Alpha spending. Every test takes a part of the level from what is left of it, and by the union bound the chance that
any of them rejects wrongly is at most the sum of the parts, however the tests hang together: they share rows, and
mostly one of the two models. A sequential test (an e-process, a confidence sequence) would gain nothing here: new rows
pay for it, and here are new hypotheses on the old ones.
"""

from __future__ import annotations

import math
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from stsflow.tasks.statistics.correlation import Floats

SHARE_OF_WHAT_IS_LEFT = 0.25
"""The most that one test takes of what is left. Evenly planned tests meet it at the end of the plan only; more tests
than planned get less and less, and never nothing."""


def next_part(level: float, planned: int, spent: float) -> float:
    """What the next test takes of `level`, of which `spent` is gone: an even part of `planned`, while there is enough.

    The parts of any number of tests add up to less than `level`.
    """
    return max(0.0, min(level / planned, SHARE_OF_WHAT_IS_LEFT * (level - spent)))


@overload
def reach(level: float, degrees: int, skewness: float = 0.0) -> float: ...
@overload
def reach(level: float, degrees: int, skewness: ArrayLike) -> float | Floats: ...
def reach(level: float, degrees: int, skewness: ArrayLike = 0.0) -> float | Floats:
    """Standard errors that a gain must exceed to be told from none, one-sided, with an error of at most `level`.

    The quantile of Student's t with so many `degrees` of freedom. Where the estimate of the gain is skewed to the left
    (`skewness` of its sampling distribution, below 0), it flatters in the far tail: Hall's transformation (Annals of
    Statistics 20, 1992, 675-694) puts the quantile further out. A skew to the right would allow less than t, and does
    not count. Infinite at level 0, and where nothing finite holds at that skewness.
    """
    if level <= 0.0 or degrees < 1:
        return math.inf
    from scipy.special import stdtrit  # half the start-up of whoever only wants a correlation

    quantile = float(-stdtrit(degrees, level))
    a = np.minimum(np.asarray(skewness, dtype=np.float64), -1e-9) / 3.0
    further = (np.cbrt(1.0 + 3.0 * a * (quantile - a / 2.0)) - 1.0) / a
    found = np.maximum(quantile, further)
    return float(found) if np.ndim(found) == 0 else np.asarray(found, dtype=np.float64)


@overload
def lower_end(gain: float, error: float, degrees: int, level: float, skewness: float = 0.0) -> float: ...
@overload
def lower_end(gain: Floats, error: Floats, degrees: int, level: float, skewness: Floats) -> Floats: ...
def lower_end(
    gain: float | Floats, error: float | Floats, degrees: int, level: float, skewness: float | Floats = 0.0
) -> float | Floats:
    """What the true gain is no less than, with an error of at most `level`: the estimate less its reach in standard
    errors. One, or many at once; -inf at level 0.
    """
    far = reach(level, degrees, skewness)
    return gain - far * error if np.all(np.isfinite(far)) else gain - math.inf
