"""The no-duplicates sampler: CPU time, memory and growth, against those of sentence-transformers.

    python -m benchmarks.sampler                    568,640 triplets at batch 8, 64, 1024, and growth from 10,000 rows
    python -m benchmarks.sampler --library          also the library's plain and hashed samplers (minutes)
    python -m benchmarks.sampler --rows 10000000    ten million triplets (4 GB)

Every measurement runs in a process of its own; memory is what the process grew by at its peak, the texts, which lie
in a memory-mapped Arrow file, counted where they were touched. Results go to standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

SYLLABLES = "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후"


def write_triplets(folder: Path, rows: int, seed: int = 0) -> Path:
    """Triplets of the shape of the public recipe: (s, e, c) and (e, s, c), with a share of often repeated negatives."""
    random = np.random.default_rng(seed)
    half = rows // 2
    words = np.array(["".join(random.choice(list(SYLLABLES), 3)) for _ in range(5_000)])
    path = folder / f"triplets-{rows}.arrow"
    schema = pa.schema([(name, pa.string()) for name in ("anchor", "positive", "negative")])
    frequent = texts(words, np.arange(2_000), "흔")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for start in range(0, half, 50_000):
            numbers = np.arange(start, min(half, start + 50_000))
            sentence, entailment = texts(words, numbers, "가"), texts(words, numbers, "나")
            contradiction = texts(words, numbers, "다")
            often = random.random(len(numbers)) < 0.05
            contradiction[often] = frequent[random.integers(0, len(frequent), int(often.sum()))]
            for first, second in ((sentence, entailment), (entailment, sentence)):
                writer.write_batch(
                    pa.record_batch([pa.array(first), pa.array(second), pa.array(contradiction)], schema)
                )
    return path


def texts(words: np.ndarray, numbers: np.ndarray, mark: str) -> np.ndarray:
    """One sentence of six words for each number."""
    picked = [words[(numbers * prime + shift) % len(words)] for prime, shift in ((7, 1), (31, 2), (101, 3), (997, 4))]
    return np.array(
        [f"{a} {b} {c} {d} {n}{mark}." for a, b, c, d, n in zip(*picked, numbers, strict=True)], dtype=object
    )


def measure(path: Path, kind: str, batch_size: int) -> dict[str, Any]:
    """In this process: one epoch, from the file to the last batch."""
    with pa.memory_map(str(path)) as source:
        rows = sum(batch.num_rows for batch in pa.ipc.open_stream(source))
    sampler = ours if kind == "ours" else _library
    prepared = sampler(path, kind)
    # What it holds now, not its peak so far: imports had theirs.
    before, started = psutil.Process().memory_info().rss, time.process_time()
    batches, seen, extra = prepared(batch_size)
    seconds = time.process_time() - started
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before / 2**20
    return {
        "kind": kind, "rows": rows, "batch_size": batch_size, "batches": batches, "rows_used": seen,
        "cpu_seconds": round(seconds + children.ru_utime + children.ru_stime, 3), "peak_mib": round(grown),
        "of_it_mapped_texts": round(path.stat().st_size / 2**20), **extra,
    }  # fmt: skip


def ours(path: Path, _kind: str) -> Any:
    """A function of the batch size: an epoch of our sampler; (batches, rows used, further figures)."""
    from stsflow.tasks.batching.no_duplicates import NoDuplicateBatches
    from stsflow.tasks.batching.plain import RandomBatches
    from stsflow.tasks.sets.texts import text_numbers

    text_numbers(pa.table({"anchor": ["a", "b"]}), ["anchor"])  # imports that Arrow puts off

    def run(batch_size: int) -> tuple[int, int, dict[str, float]]:
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        started = time.process_time()
        numbers = text_numbers(table, table.column_names)
        encoded = time.process_time() - started
        epoch = NoDuplicateBatches(numbers, RandomBatches(table.num_rows, batch_size), seed=1).epoch(0)
        return len(epoch), sum(len(batch) for batch in epoch), {"of_it_encoding": round(encoded, 3)}

    return run


def _library(path: Path, kind: str) -> Any:
    import torch
    from datasets import Dataset
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

    dataset = Dataset(pa.ipc.open_stream(pa.memory_map(str(path))).read_all())

    def run(batch_size: int) -> tuple[int, int, dict[str, float]]:
        hashed = kind == "library hashed"
        options = {"precompute_hashes": True, "precompute_num_proc": 1} if hashed else {}
        sampler = NoDuplicatesBatchSampler(dataset, batch_size, False, generator=torch.Generator(), seed=1, **options)
        sizes = [len(batch) for batch in sampler]
        return len(sizes), sum(sizes), {}

    return run


def in_own_process(path: Path, kind: str, batch_size: int) -> dict[str, Any]:
    """`measure` in a process that has done nothing else."""
    command = [sys.executable, "-m", "benchmarks.sampler", "--measure", str(path), kind, str(batch_size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def exponent(points: list[dict[str, Any]]) -> float:
    """Slope of log CPU time over log rows."""
    rows, seconds = ([float(point[name]) for point in points] for name in ("rows", "cpu_seconds"))
    return round(float(np.polyfit(np.log(rows), np.log(seconds), 1)[0]), 3)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=568_640)
    parser.add_argument("--library", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, kind, batch_size = arguments.measure
        print(json.dumps(measure(Path(path), kind, int(batch_size))))
        return
    kinds = ["ours"] + (["library hashed", "library plain"] if arguments.library else [])
    with tempfile.TemporaryDirectory() as folder:
        path = write_triplets(Path(folder), arguments.rows)
        results = [in_own_process(path, kind, size) for kind in kinds for size in (8, 64, 1024)]
        sizes = [rows for rows in (10_000, 31_623, 100_000, 316_228) if rows < arguments.rows]
        growth = [in_own_process(write_triplets(Path(folder), rows), "ours", 64) for rows in sizes]
        growth += [result for result in results if result["kind"] == "ours" and result["batch_size"] == 64]
    print(json.dumps({"results": results, "growth": growth, "exponent": exponent(growth)}, indent=1))


if __name__ == "__main__":
    main()
