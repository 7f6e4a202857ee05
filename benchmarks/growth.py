"""Time and memory of every stage that reads rows, at 10,000, 100,000 and 568,640 rows, with the fitted exponents.

    python -m benchmarks.growth --json growth.json

An exponent is the slope of log CPU time (or of log memory) over log rows: 1 is linear, more grows faster than the rows.
Each point is measured in a process of its own, which also makes its rows; memory is what that process grew by at its
peak while it worked. Generated rows, as in the benchmark of the stage.
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
from pathlib import Path
from typing import Any

import numpy as np

from tasks.environment import hardware, versions

SIZES = (10_000, 100_000, 568_640)
Work = Callable[[], Any]


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
    from datasets import disable_progress_bars

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        work = STAGES[stage](Path(folder), rows)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, cpu()
        work()
        spent = cpu() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"rows": rows, "cpu_seconds": round(spent, 2), "grown_mib": round(grown / 1024)}


def cpu() -> float:
    """CPU seconds of this process and of its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def data(folder: Path, rows: int) -> Work:
    """From NLI rows in a file to triplets on the disk, leakage checked."""
    from benchmarks import prepare_data

    prepare_data.write_files(folder, rows)
    return lambda: prepare_data.measure(folder)


def tokens(folder: Path, rows: int) -> Work:
    """Tokens of every text of triplets, half of the texts distinct."""
    from benchmarks import token_statistics as benchmark
    from benchmarks.padding_free import packaged_model

    model = packaged_model()
    assert model is not None, "install the extra `demo`: it carries the model"
    made = benchmark.generated(folder, rows, 0.5)
    return lambda: benchmark.ours(made, model)


def sampler(folder: Path, rows: int) -> Work:
    """An epoch of batches of 64 without duplicates, Arrow encoding included."""
    from benchmarks import sampler as benchmark

    path = benchmark.write_triplets(folder, rows)
    run = benchmark.ours(path, "ours")
    return lambda: run(64)


def near_duplicates(folder: Path, rows: int) -> Work:
    """Leakage of triplets against 1,500 pairs, near-duplicates included."""
    import random

    from benchmarks import near_duplicates as benchmark
    from tasks.config import LeakageConfig
    from tasks.data.leakage import check_leakage

    numbers = random.Random(0)
    test, pool = benchmark.sentences(9000, numbers)[:3000], benchmark.sentences(rows, numbers)
    columns = {name: numbers.choices(pool, k=rows) for name in ("anchor", "positive", "negative")}
    training = benchmark.prepared(folder, "train", "train", columns)
    pairs = {"sentence1": test[:1500], "sentence2": test[1500:]}
    evaluation = benchmark.prepared(folder, "test", "evaluation", pairs)
    config = LeakageConfig(near_duplicates="report")
    return lambda: check_leakage([training], [evaluation], config, folder / "out")


STAGES: dict[str, Callable[[Path, int], Work]] = {
    "data": data, "tokens": tokens, "sampler": sampler, "near-duplicates": near_duplicates,
}  # fmt: skip


if __name__ == "__main__":
    main()
