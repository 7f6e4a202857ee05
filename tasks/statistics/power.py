"""How many rows it takes to tell two models apart."""

from __future__ import annotations

import math
from statistics import NormalDist


def rows_needed(
    difference: float, standard_error: float, rows: int, *, power: float = 0.8, confidence: float = 0.95
) -> int | None:
    """Rows at which a true difference of this size would be told from zero with probability `power`.

    `standard_error` is that of the difference on `rows` rows; it shrinks with the square root of the rows, so that
    n = rows x ((z(1 - alpha / 2) + z(power)) x standard_error / difference)^2 (normal approximation, two-sided test).
    None when the difference is zero or not a number: no number of rows would do.
    """
    if difference == 0 or math.isnan(difference) or math.isnan(standard_error):
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1.0 - (1.0 - confidence) / 2.0) + normal.inv_cdf(power)
    return max(2, math.ceil(rows * (reach * standard_error / difference) ** 2))
