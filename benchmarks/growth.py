"""Time and memory of every stage that reads rows, at 10,000, 100,000 and 568,640 rows, with the fitted exponents.

    python -m benchmarks.growth --json growth.json

An exponent is the slope of log CPU time (or of log memory) over log rows: 1 is linear, more grows faster than the rows.
Each point is measured in a process of its own, which has done the stage with a few rows before, so that imports do not
count; another process has made the rows. Memory is what the process grew by at its peak while it worked. The rows are
generated, as in the benchmark of the stage.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from datasets import disable_progress_bars

from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.records.data import PreparedSet

SIZES = (10_000, 100_000, 568_640)
FEW = 1_000
"""Rows of the first round, which is not counted."""


class Stage(NamedTuple):
    """How a stage's rows are made, and the work on what was made."""

    make: Callable[[Path, int], Any]
    work: Callable[[Any], Any]


def main() -> None:
    """Measure every stage at every size, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    if arguments.measure:
        stage, rows = arguments.measure
        print(json.dumps(measure(stage, int(rows))))
        return
    found = {}
    for stage in arguments.stages:
        points = [in_own_process(stage, rows) for rows in arguments.sizes]
        found[stage] = {"points": points} | {key: exponent(points, key) for key in ("cpu_seconds", "grown_mib")}
        sizes = "  ".join(f"{p['rows']:,}: {p['cpu_seconds']} s, {p['grown_mib']} MiB" for p in points)
        print(f"{stage:<16} time ^{found[stage]['cpu_seconds']}  memory ^{found[stage]['grown_mib']}   {sizes}")
    if arguments.json:
        everything = {"stages": found, "load": os.getloadavg(), "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def exponent(points: list[dict[str, float]], key: str) -> float:
    """Slope of the logarithm of `key` over that of the rows, by least squares."""
    rows, values = ([max(point[name], 1e-3) for point in points] for name in ("rows", key))
    return round(float(np.polyfit(np.log(rows), np.log(values), 1)[0]), 2)


def in_own_process(stage: str, rows: int) -> dict[str, float]:
    """`measure` in a process that has done nothing else."""
    command = [sys.executable, "-m", "benchmarks.growth", "--measure", stage, str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(stage: str, rows: int) -> dict[str, float]:
    """CPU seconds of the stage's work, children included, and MiB by which the process grew."""
    make, work = STAGES[stage]
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as folder:
        # Made in another process: this one's peak must be the work's, not the generator's.
        with ProcessPoolExecutor(1, get_context("spawn"), initializer=disable_progress_bars) as other:
            first = other.submit(make, Path(few), FEW).result()
            made = other.submit(make, Path(folder), rows).result()
        work(first)
        before, started = psutil.Process().memory_info().rss, cpu()
        work(made)
        spent = cpu() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before / 2**20
    return {"rows": rows, "cpu_seconds": round(spent, 2), "grown_mib": round(grown)}


def cpu() -> float:
    """CPU seconds of this process and of its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def nli_files(folder: Path, rows: int) -> Path:
    """NLI rows in files, and an evaluation set."""
    from benchmarks import prepare_data

    prepare_data.write_files(folder, rows)
    return folder


def data(made: Path) -> None:
    """From NLI rows in a file to triplets on the disk, leakage checked."""
    from benchmarks import prepare_data

    prepare_data.measure(made)


def half_distinct(folder: Path, rows: int) -> PreparedSet:
    """Triplets, half of whose texts are distinct."""
    from benchmarks import token_statistics

    return token_statistics.generated(folder, rows, 0.5)


def tokens(made: PreparedSet) -> None:
    """Tokens of every text."""
    from benchmarks import token_statistics
    from benchmarks.padding_free import packaged_model

    model = packaged_model()
    assert model is not None, "install the extra `demo`: it carries the model"
    token_statistics.ours(made, model)


def sampler(made: Path) -> None:
    """An epoch of batches of 64 without duplicates, Arrow encoding included."""
    from benchmarks import sampler as benchmark

    benchmark.ours(made, "ours")(64)


def triplets(folder: Path, rows: int) -> Path:
    """Triplets in an Arrow file."""
    from benchmarks import sampler as benchmark

    return benchmark.write_triplets(folder, rows)


def training_and_test(folder: Path, rows: int) -> tuple[PreparedSet, PreparedSet]:
    """Triplets, and 1,500 pairs to find in them."""
    import random

    from benchmarks import near_duplicates as benchmark

    numbers = random.Random(0)
    test, pool = benchmark.sentences(9000, numbers)[:3000], benchmark.sentences(rows, numbers)
    columns = {name: numbers.choices(pool, k=rows) for name in ("anchor", "positive", "negative")}
    pairs = {"anchor": test[:1500], "positive": test[1500:]}
    return (
        benchmark.prepared(folder, "train", "train", "triplets", columns),
        benchmark.prepared(folder, "test", "evaluation", "pairs", pairs),
    )


def near_duplicates(made: tuple[PreparedSet, PreparedSet]) -> None:
    """Leakage, near-duplicates included."""
    from stsflow.tasks.leakage.policies import check_leakage
    from stsflow.tasks.recipe.sections import LeakageConfig

    training, evaluation = made
    check_leakage([training], [evaluation], LeakageConfig(near_duplicates="report"), training.path.parent / "out")


STAGES = {
    "data": Stage(nli_files, data),
    "tokens": Stage(half_distinct, tokens),
    "sampler": Stage(triplets, sampler),
    "near-duplicates": Stage(training_and_test, near_duplicates),
}


if __name__ == "__main__":
    main()
