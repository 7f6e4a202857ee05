"""CPU time of bootstrap intervals: resample counts with cumulative mid-ranks against a loop over scipy.

    python -m benchmarks.bootstrap --rows 1379 --json bootstrap.json

Both draw the same resamples; the largest difference between their values is printed beside the times. The loop runs on
fewer resamples and is scaled up, because its time is proportional to them. Rounds alternate; compare the ratios.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.statistics.bootstrap import bootstrap_correlations, resample_counts
from stsflow.tasks.statistics.permutation import paired_permutation_p

Floats = NDArray[np.float64]


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1379)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--loop-resamples", type=int, default=500, help="resamples that the scipy loop runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.resamples, arguments.loop_resamples, arguments.rounds)
    print(f"{arguments.rows} rows, {arguments.resamples} resamples, CPU seconds (median of {arguments.rounds})")
    for name, seconds in found["cpu_seconds"].items():
        print(f"  {name:<46} {seconds:8.3f}")
    print(f"  ratio Spearman, counts to loop                 {found['ratio']:8.4f}")
    print(f"  largest difference on the same resamples       {found['largest_difference']:8.1e}")
    print(f"  peak memory                                    {found['peak_memory_mib']:8.0f} MiB")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({**found, "versions": versions(), "hardware": hardware()}, indent=2) + "\n", encoding="utf-8"
        )


def measure(rows: int, resamples: int, loop_resamples: int, rounds: int) -> dict[str, Any]:
    """CPU seconds by name, the ratio, and how far the two ways are apart."""
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 26, rows) / 25
    models = {f"model {number}": gold + 0.25 * generator.normal(size=rows) for number in range(4)}
    first, second = models["model 0"], models["model 1"]
    runs: dict[str, Callable[[], object]] = {
        "counts, one column": lambda: bootstrap_correlations(gold, {"a": first}, resamples, seed=0),
        "counts, four columns (ten metrics)": lambda: bootstrap_correlations(gold, models, resamples, seed=0),
        "permutation test of two models, Spearman": lambda: paired_permutation_p(
            gold, first, second, "spearman", resamples, 0
        ),
        "scipy loop, one column, scaled up": lambda: loop(gold, first, loop_resamples),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.process_time()
            run()
            scale = resamples / loop_resamples if name.startswith("scipy") else 1.0
            seconds[name].append(scale * (time.process_time() - started))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    counted = bootstrap_correlations(gold, {"a": first}, 100, seed=0)["spearman"]["a"]
    return {
        "rows": rows,
        "resamples": resamples,
        "cpu_seconds": medians,
        "ratio": medians["counts, one column"] / medians["scipy loop, one column, scaled up"],
        "largest_difference": float(np.abs(counted - loop(gold, first, 100)).max()),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def loop(gold: Floats, predicted: Floats, resamples: int) -> Floats:
    """Spearman (and, like the counts, Pearson) of each resample, one after another."""
    values = []
    for counts in resample_counts(len(gold), resamples, seed=0):
        for count in counts:
            rows = np.repeat(np.arange(len(gold)), count)
            stats.pearsonr(gold[rows], predicted[rows])
            values.append(stats.spearmanr(gold[rows], predicted[rows]).statistic)
    return np.array(values)


if __name__ == "__main__":
    main()
