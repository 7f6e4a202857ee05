"""Years of weekly promotion decisions on one test set, simulated: how often noise is promoted, and how soon a gain is.

    python -m benchmarks.promotion_noise --years 10000 --json promotion_noise.json

Every week a candidate is compared with the champion on the same rows; whoever is promoted is the champion of the next
week. On every row each training deviates by an amount of its own, more on some rows than on others (lognormal), so that
looks share the rows, and the champion's deviations as long as it stays. A year draws its rows once. The levels and the
ends of the differences are the product's own (`stsflow.tasks.statistics.spending`); `naive` is every look at the level
of a 95 % interval of its own. The chance in theory (of correlated normal variables) is printed beside.
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.records.looks import ErrorBudget
from stsflow.tasks.release.looks import YEAR
from stsflow.tasks.statistics.spending import lower_end, next_part

Floats = NDArray[np.float64]
Weeks = NDArray[np.int64]
WEEK = timedelta(days=7)
NAIVE = 0.025
"""Of a 95 % interval, what lies above it."""
CELLS_AT_A_TIME = 2_000_000


def main() -> None:
    """Simulate, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=10_000)
    parser.add_argument("--years-with-a-gain", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=1379, help="of the test set")
    parser.add_argument("--error", type=float, default=0.5, help="standard error of one comparison, in points")
    parser.add_argument("--looks", type=int, default=52, help="decisions in a year")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    found = measure(
        arguments.years, arguments.years_with_a_gain, arguments.rows, arguments.error, arguments.looks, arguments.seed
    )
    print(f"{arguments.years} years of {arguments.looks} looks at {arguments.rows} rows, in which nothing is better")
    for name, figures in found["false"].items():
        print(
            f"  {name:<20} {figures['years']:7.2%} of the years promote ({figures['promotions']:.2f} times a year), "
            f"{figures['expected']:.2%} in theory"
        )
    print(f"candidates that are better by so many points (standard error of a comparison: {arguments.error:g})")
    for points, of in found["gains"].items():
        for name, figures in of.items():
            print(
                f"  {points:>4} {name:<17} {figures['within']:7.2%} of the years promote, half of them by look "
                f"{figures['median']}, nine in ten by {figures['ninth']}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({**found, "versions": versions()}, indent=2) + "\n", encoding="utf-8")


def measure(years: int, with_a_gain: int, rows: int, error: float, looks: int, seed: int) -> dict[str, Any]:
    """Shares of the years with a false promotion, and looks until a true gain is promoted."""
    first, later = levels_of(looks), levels_of(3 * looks)[2 * looks :]
    plans = {"error budget": first, "budget, third year": later, "naive": np.full(looks, NAIVE)}
    wrong, gains = {}, {}
    for name, levels in plans.items():
        weeks, promotions = simulate(years, rows, error, 0.0, levels, seed)
        wrong[name] = {
            "years": float((weeks > 0).mean()), "promotions": float(promotions.mean()), "expected": expected(levels),
            "level_spent": float(levels.sum()),
        }  # fmt: skip
    for points in (0.5, 1.0, 2.0):
        gains[f"{points:g}"] = {
            name: _waiting(simulate(with_a_gain, rows, error, points, plans[name], seed + 1, once=True)[0])
            for name in ("error budget", "naive")
        }
    return {"false": wrong, "gains": gains, "rows": rows, "error": error, "looks": looks, "years": years}


def levels_of(looks: int, budget: ErrorBudget | None = None) -> Floats:
    """The level of each of so many weekly looks, as the ledger gives them out."""
    budget = budget or ErrorBudget()
    found: list[float] = []
    kept = len(range(0, YEAR.days, WEEK.days))  # looks less than a year old, the present one among them
    for _ in range(looks):
        before = found[-(kept - 1) :] if budget.per == "year" else found
        found.append(next_part(budget.level, budget.looks, sum(before)))
    return np.array(found)


def simulate(
    years: int, rows: int, error: float, gain: float, levels: Floats, seed: int, *, once: bool = False
) -> tuple[Weeks, Weeks]:
    """For each year the look, from 1, that promotes first (0: none does), and how many do.

    Every candidate is better than the first champion by `gain`; `once` ends a year with its first promotion. The
    standard error of a comparison on `rows` rows is `error`; both are in points.
    """
    generator = np.random.default_rng(seed)
    block = max(1, CELLS_AT_A_TIME // rows)
    parts = [
        _some_years(min(block, years - start), rows, error, gain, levels, generator, once)
        for start in range(0, years, block)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _some_years(
    years: int, rows: int, error: float, gain: float, levels: Floats, generator: np.random.Generator, once: bool
) -> tuple[Weeks, Weeks]:
    spread = generator.lognormal(sigma=0.5, size=(years, rows))
    # Two models deviate by themselves: of their difference the variance is twice that of one.
    spread *= error * np.sqrt(rows) / np.sqrt(2.0 * np.exp(2 * 0.5**2))
    champion, quality = spread * generator.normal(size=(years, rows)), np.zeros(years)
    first, count = np.zeros(years, dtype=np.int64), np.zeros(years, dtype=np.int64)
    for look, level in enumerate(levels, start=1):
        candidate = spread * generator.normal(size=(years, rows))
        differences = candidate - champion
        found, errors, skewness = moments(differences)
        yes = lower_end(found + gain - quality, errors, rows - 1, float(level), skewness) > 0.0
        first[yes & (first == 0)] = look
        count += yes
        if once and (first > 0).all():
            break
        champion[yes], quality[yes] = candidate[yes], gain
    return first, count


def moments(differences: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean of each line, its standard error, and the skewness of its sampling distribution, as the paired bootstrap of
    a mean over rows estimates them.
    """
    rows = differences.shape[1]
    means = differences.mean(axis=1)
    centred = differences - means[:, None]
    squares = centred * centred
    deviation = np.sqrt(squares.mean(axis=1))
    skewness = np.einsum("ij,ij->i", squares, centred) / rows / deviation**3 / np.sqrt(rows)
    return means, deviation / np.sqrt(rows), skewness


def expected(levels: Floats) -> float:
    """The chance that any look of a year promotes, in theory: until one does, all share the champion, so that their
    normal test statistics have a correlation of one half with each other."""
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    half = np.sqrt(0.5)
    below = ndtr((-ndtri(levels)[:, None] - half * points) / half)
    return float(1.0 - (below.prod(axis=0) * weights).sum() / weights.sum())


def _waiting(weeks: Weeks) -> dict[str, Any]:
    """Share of the years that promote, and by which look half and nine in ten of all years have; None: never."""
    by_look = np.sort(np.where(weeks == 0, np.iinfo(np.int64).max, weeks))
    at = {name: int(by_look[int(np.ceil(share * len(weeks))) - 1]) for name, share in (("median", 0.5), ("ninth", 0.9))}
    shown = {name: None if value == np.iinfo(np.int64).max else value for name, value in at.items()}
    return {"within": float((weeks > 0).mean()), **shown}


if __name__ == "__main__":
    main()
