"""How often intervals over seeds and rows hold the truth, by simulation with known variances.

    python -m benchmarks.seed_coverage --replicates 10000 --json seed_coverage.json

A recipe's score of a row is a part that the row has, a part that the seed has, and a part that both have together; the
score of the recipe is the mean over the rows. `base` compares it with one model, `recipe` with another recipe that has
seeds of its own. Beside the intervals of stsflow stand those of the plain bootstrap, which draws rows and seeds with
replacement and takes the percentiles of the difference, and those of the rows alone, which is the claim on one set of
weights put to the recipe. `spearman` does the same for the correlation of two equal recipes with gold scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.statistics.bootstrap import bootstrap_correlations, resample_counts
from stsflow.tasks.statistics.seeds import Spread, row_variance

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """What varies, as standard deviations; rows are those of the test set."""

    name: str
    row: float
    seed: float
    both: float
    rows: int = 200


def worlds(seeds: int, rows: int = 200) -> tuple[World, ...]:
    """Worlds in which the seeds' part of the error of the mean is from nothing to nearly all of it."""
    equal = (seeds / rows) ** 0.5  # the mean over seeds is then as uncertain by the seeds as by the rows
    return (
        World("no variance between seeds", 1.0, 0.0, 0.0, rows),
        World("seeds differ only row by row", 1.0, 0.0, 0.5, rows),
        World("a quarter of the variance from seeds", 1.0, equal / 3**0.5, 0.3, rows),
        World("half of the variance from seeds", 1.0, equal, 0.3, rows),
        World("nine tenths from seeds", 1.0, 3.0 * equal, 0.3, rows),
        World("nearly all from seeds", 0.05, 1.0, 0.05, rows),
    )


def coverage(world: World, seeds: int, against: str, replicates: int, resamples: int, seed: int) -> dict[str, float]:
    """Share of the replicates whose 95 % interval holds the true difference, 0, by kind of interval."""
    generator, held = np.random.default_rng(seed), {"stsflow": 0, "plain bootstrap": 0, "rows alone": 0}
    counts = np.concatenate(list(resample_counts(world.rows, resamples, seed)))
    for _ in range(replicates):
        row = generator.normal(0.0, world.row, world.rows)
        second = _recipe(world, seeds, row, generator)
        first = _recipe(world, seeds, 0.0 * row, generator) if against == "recipe" else np.zeros((1, world.rows))
        scores = [group.mean(axis=1) for group in (first, second)]
        resampled = [(counts @ group.T / world.rows).T for group in (first, second)]
        for name, holds in _hold(scores, resampled, world.rows, generator):
            held[name] += holds
    return {name: count / replicates for name, count in held.items()}


def spearman_coverage(seed_spread: float, seeds: int, replicates: int, resamples: int, seed: int) -> dict[str, float]:
    """The same for Spearman of two recipes whose seeds differ in how much noise they have; the true difference is 0."""
    generator, held = np.random.default_rng(seed), {"stsflow": 0, "plain bootstrap": 0, "rows alone": 0}
    rows = 300
    for _ in range(replicates):
        gold, shared = generator.normal(size=rows), generator.normal(size=rows)
        names = [f"{recipe}{number}" for recipe in (1, 2) for number in range(seeds)]
        noise = {name: 0.7 * np.exp(generator.normal(0.0, seed_spread)) for name in names}
        models = {
            name: gold + noise[name] * (0.8 * shared + 0.6 * generator.normal(size=rows)) for name in names
        }  # fmt: skip
        found = bootstrap_correlations(gold, models, resamples, int(generator.integers(2**31)))["spearman"]
        values = np.stack([found[name] for name in names])
        whole = np.array([_spearman(gold, models[name]) for name in names])
        scores, resampled = [whole[:seeds], whole[seeds:]], [values[:seeds], values[seeds:]]
        for name, holds in _hold(scores, resampled, rows, generator):
            held[name] += holds
    return {name: count / replicates for name, count in held.items()}


def _spearman(first: Floats, second: Floats) -> float:
    from stsflow.tasks.statistics.correlation import spearman

    return spearman(first, second)


def _recipe(world: World, seeds: int, row: Floats, generator: np.random.Generator) -> Floats:
    """Scores of every row under every seed: (seeds, rows)."""
    own = generator.normal(0.0, world.seed, (seeds, 1)) if world.seed else np.zeros((seeds, 1))
    both = generator.normal(0.0, world.both, (seeds, world.rows)) if world.both else 0.0
    return row + own + both


def _hold(
    scores: list[Floats], resampled: list[Floats], rows: int, generator: np.random.Generator
) -> Iterator[tuple[str, bool]]:
    """By kind of interval, whether it holds 0."""
    first, second = resampled
    spread = Spread.of(scores[0], scores[1], rows, row_variance(first, second))
    yield "stsflow", abs(spread.difference) <= spread.half_width(0.95)
    drawn = [_drawn_seeds(group, generator) for group in resampled]
    for name, values in (("plain bootstrap", drawn[1] - drawn[0]), ("rows alone", second.mean(0) - first.mean(0))):
        low, high = np.quantile(values, [0.025, 0.975])
        yield name, bool(low - 1e-12 <= 0.0 <= high + 1e-12)


def _drawn_seeds(group: Floats, generator: np.random.Generator) -> Floats:
    """In each resample the mean of as many seeds, drawn with replacement."""
    drawn = generator.integers(0, len(group), (len(group), group.shape[1]))
    return np.asarray(np.take_along_axis(group, drawn, axis=0).mean(axis=0))


def main() -> None:
    """Simulate, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--spearman-replicates", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--json", type=Path, help="write the measurements here")
    asked = parser.parse_args()
    found = []
    for seeds in asked.seeds:
        for against in ("base", "recipe"):
            for world in worlds(seeds):
                shares = coverage(world, seeds, against, asked.replicates, asked.resamples, seeds)
                found.append({"seeds": seeds, "against": against, "world": world.name, **shares})
        for spread in (0.0, 0.05, 0.3):
            shares = spearman_coverage(spread, seeds, asked.spearman_replicates, asked.resamples, seeds)
            found.append(
                {"seeds": seeds, "against": "recipe", "world": f"spearman, noise varies by {spread}", **shares}
            )
    for one in found:
        said = ", ".join(f"{name} {one[name]:.3f}" for name in ("stsflow", "plain bootstrap", "rows alone"))
        print(f"{one['seeds']:>3} seeds against {one['against']:<7} {one['world']:<38} {said}")
    if asked.json:
        asked.json.write_text(
            json.dumps({"coverage": found, "versions": versions()}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
