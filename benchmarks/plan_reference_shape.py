"""The plan of the reference recipe's shape: 568,640 triplets, 5,749 scored pairs, batch 8, no duplicates.

    python -m benchmarks.plan_reference_shape

Generated rows go through `plan_exposure` in round robin (1.01 % of the triplets an epoch, with a warning) and in
proportion (all of them but what the sampler leaves out). CPU time and peak memory are of the plan alone: reading,
text numbers, samplers, counting. Results go to standard output as JSON.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.sampler import write_triplets
from tasks.config import RunConfig
from tasks.plan.exposure import plan_exposure
from tasks.records import PreparedData, PreparedSet, RowCounts, SourceRef

TRIPLETS, PAIRS = 568_640, 5_749
SHOWN = {"name", "rows_seen_per_epoch", "seen_share_per_epoch", "left_out_by_sampler"}


def prepared(folder: Path, name: str, shape: str, columns: tuple[str, ...], file: Path, rows: int) -> PreparedSet:
    """The record of an Arrow file, placed as the data stage leaves it."""
    home = folder / name
    home.mkdir()
    file.rename(home / "data-00000-of-00001.arrow")
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (home / "state.json").write_text(json.dumps(state), encoding="utf-8")
    return PreparedSet(
        name=name, role="train", shape=shape, title=name, path=home, columns=columns, digest=name, rows=rows,
        counts=RowCounts(read=rows, kept=rows),
        source=SourceRef(kind="synthetic", name="synthetic", uri="synthetic", revision="0"),
    )  # fmt: skip


def write_pairs(folder: Path) -> Path:
    """Scored pairs; every seventh second sentence repeats."""
    rows = np.arange(PAIRS)
    table = pa.table(
        {
            "sentence1": [f"첫째 {row}" for row in rows],
            "sentence2": [f"둘째 {row % (PAIRS - PAIRS // 7)}" for row in rows],
            "score": (rows % 6) / 5,
        }
    )
    path = folder / "pairs.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return path


def recipe(order: str) -> RunConfig:
    """The reference recipe's training section, one epoch of it."""
    source = {"kind": "files", "paths": ["generated.tsv"]}
    shapes = {"kornli": "triplets", "korsts": "scored_pairs"}
    training = {"epochs": 1, "batch_size": 8, "batch_sampler": "no_duplicates", "multi_dataset_batch_sampler": order}
    return RunConfig.model_validate(
        {
            "name": "reference-shape",
            "data": {"train": {name: {"source": source, "shape": {"kind": kind}} for name, kind in shapes.items()}},
            "model": {"source": {"kind": "directory", "path": "."}},
            "training": training,
            "evaluation": {"suites": {"dev": {"kind": "sts", "source": source, "split": "dev"}}},
        }
    )


def main() -> None:
    """Plan both orders and print what came out."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        triplets, pairs = write_triplets(folder, TRIPLETS), write_pairs(folder)
        names = ("anchor", "positive", "negative")
        sets = (
            prepared(folder, "kornli", "triplets", names, triplets, TRIPLETS),
            prepared(folder, "korsts", "scored_pairs", ("sentence1", "sentence2", "score"), pairs, PAIRS),
        )
        data = PreparedData(fingerprint="generated", train=sets, evaluation=())
        for order in ("round_robin", "proportional"):
            started = time.process_time()
            plan = plan_exposure(recipe(order), data, 1)
            seconds = time.process_time() - started
            results[order] = {
                "cpu_seconds": round(seconds, 2),
                "steps": plan.steps,
                "ends_with": plan.ends_with,
                "exposure": [
                    item.model_dump(
                        include={"name", "rows_seen_per_epoch", "seen_share_per_epoch", "left_out_by_sampler"}
                    )
                    for item in plan.exposure
                ],
                "findings": [f"{finding.severity}: {finding.message} {finding.remedy}" for finding in plan.findings],
            }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(results | {"peak_mib_of_the_process": peak}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
