"""CPU time, memory and tokens of training steps: the trainer process against the plain script, in turn.

    python -m benchmarks.training --data KorNLUDatasets --batches 8 64 --steps 24 --rounds 3 --json training.json

Both train the packaged MiniLM on the same rows (XNLI-ko triplets and KorSTS pairs, or generated ones without `--data`)
with the same batch, alternating in rounds, one thread each. Counted is what a process spends between the end of its
first and of its last step: start-up is taken off, and everything that happens in the loop (sampler, collation, events,
counting) is in. Compare ratios; seconds hold for one machine at one time.

The plain script runs as it comes and, since much of its time is page faults, with the allocator tuned as well, which is
the fairer of the two comparisons of computation. `--library-best` adds the library's own best settings: hashed sampler,
bf16, tuned allocator.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.padding_free import packaged_model
from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.hardware import cpu_flags
from stsflow.tasks.models.process_environment import SETTINGS
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.scenes.rows import generate
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest, training_request
from stsflow.tasks.training.run import train_in_child

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "flows/recipes/kornlu-minilm.yaml"
SYNTHETIC = {"nli": ("premise", "hypothesis", "label"), "sts": ("sentence1", "sentence2", "score")}
PLAIN, TUNED, BEST = "plain", "plain, allocator tuned", "plain, library's best"


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a checkout of KorNLUDatasets; generated rows without it")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64], help="rows of a batch")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--library-best", action="store_true")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = arguments.data.absolute() if arguments.data else write_generated(folder / "data")
        results = [
            compare(folder / str(size), data, size, arguments)
            for size in arguments.batches
        ]  # fmt: skip
    found = {"results": results, "hardware": {**hardware(), "bf16": bf16_units()}, "versions": versions()}
    for result in results:
        print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def compare(folder: Path, data: Path, size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians of every way at one batch size, and the ratios to both forms of the plain script."""
    measured: dict[str, list[dict[str, float]]] = {}
    for number in range(arguments.rounds):
        place = folder / str(number)
        environments: dict[str, dict[str, str]] = {PLAIN: {}, TUNED: {"GLIBC_TUNABLES": SETTINGS["GLIBC_TUNABLES"]}}
        for way, environment in environments.items():
            measured.setdefault(way, []).append(plain(place / way, data, size, arguments.steps, environment))
        for precision in arguments.precisions:
            request, target = prepared(folder, data, size, arguments.steps, precision), place / precision
            measured.setdefault(f"stsflow {precision}", []).append(ours(request, target))
        if arguments.library_best:
            flags = ["--bf16", "--sampler", "no_duplicates_hashed"]
            measured.setdefault(BEST, []).append(
                plain(place / BEST, data, size, arguments.steps, environments[TUNED], flags)
            )
    rows = size * (arguments.steps - 1)
    ways: dict[str, dict[str, Any]] = {
        way: {
            "cpu_milliseconds_per_row": 1000 * statistics.median(one["cpu"] for one in runs) / rows,
            "all_rounds": [1000 * one["cpu"] / rows for one in runs],
            "peak_mib": statistics.median(one["peak"] for one in runs) / 2**20,
            **{
                f"{what}_against_{to}": [a[what] / b[what] for a, b in zip(runs, measured[to], strict=True)]
                for what in ("cpu", "peak") for to in (PLAIN, TUNED)
            },
        }
        for way, runs in measured.items()
    }  # fmt: skip
    return {"batch": size, "steps": arguments.steps, "ways": ways}


def plain(
    folder: Path, data: Path, size: int, steps: int, environment: dict[str, str], flags: list[str] | None = None
) -> dict[str, float]:
    """CPU seconds of the loop and peak memory of the plain script."""
    command = [
        sys.executable, str(ROOT / "benchmarks/plain_recipe.py"), "--base", str(packaged_model()), "--data-dir",
        str(data), "--out", str(folder), "--batch-size", str(size), "--max-steps", str(steps), "--only-train",
        *(flags or []),
    ]  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    alone = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=inherited | alone | environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"cpu": found["loop_cpu_seconds"], "peak": found["peak_memory_bytes"]}


def ours(request: TrainingRequest, folder: Path) -> dict[str, float]:
    """CPU seconds of the loop and peak memory of the trainer process."""
    spent: dict[int, float] = {}

    def note(events: list[Event]) -> None:
        for event in events:
            if event.kind == "progress" and event.step and event.step not in spent:
                spent[event.step] = event.values["cpu_seconds"]

    trained = train_in_child(request, TrainingFolder(folder), on_event=note)
    return {"cpu": spent[trained.steps] - spent[1], "peak": float(trained.peak_memory_bytes)}


def prepared(folder: Path, data: Path, size: int, steps: int, precision: str) -> TrainingRequest:
    """The recipe's training on these rows, without choosing a checkpoint."""
    settings: tuple[str, ...] = (f"data.root={data}", f"training.batch_size={size}", "training.batch_sizes={}",
                f"training.max_steps={steps}", f"training.precision={precision}", "training.threads=1",
                "training.device=cpu")  # fmt: skip
    if data.is_relative_to(folder.parent):  # generated: not the files whose digests and rows the recipe knows
        for part in (
            "data.train.xnli-ko",
            "data.train.korsts",
            *(f"evaluation.suites.sts-{n}" for n in ("dev", "test")),
        ):
            settings += (f"{part}.source.git_blob={{}}", f"{part}.expect_rows=null")
        settings += tuple(f"evaluation.suites.sts-{n}.shape.keep=[]" for n in ("dev", "test"))
        settings += tuple(f"evaluation.suites.sts-{n}.subsets_by=null" for n in ("dev", "test"))
    recipe = RunConfig.from_recipe(RECIPE, settings)
    workspace = Workspace(folder / "workspace")
    ready = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    request = training_request(recipe, ready, fetch_base_model(recipe.model, workspace))
    return request.model_copy(update={"choose": None})


def write_generated(folder: Path) -> Path:
    """The project's synthetic sentences in the layout of KorNLUDatasets."""
    nli = ("sentence1", "sentence2", "gold_label")
    sts = ("sentence1", "sentence2", "score")
    for name, task, split, rows, columns in (
        ("KorNLI/xnli.dev.ko.tsv", "nli", "dev", 2400, nli),
        ("KorNLI/xnli.test.ko.tsv", "nli", "test", 4800, nli),
        ("KorSTS/sts-train.tsv", "sts", "train", 5600, sts),
        ("KorSTS/sts-dev.tsv", "sts", "dev", 400, sts),
        ("KorSTS/sts-test.tsv", "sts", "test", 400, sts),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = [tuple(str(row[key]) for key in SYNTHETIC[task]) for row in generate(task, split, rows, ("ko", "en"), 0)]
        path.write_text("".join("\t".join(cells) + "\n" for cells in (columns, *made)), encoding="utf-8")
    return folder


def bf16_units() -> str:
    """Instruction sets of this processor that multiply bf16."""
    return ", ".join(sorted(flag for flag in cpu_flags() if flag in ("amx_bf16", "avx512_bf16"))) or "none"


def table(result: dict[str, Any]) -> str:
    """A few lines for people."""
    lines = [f"batch {result['batch']}, {result['steps']} steps, one thread; CPU and memory against {PLAIN} ({TUNED})"]
    for way, one in result["ways"].items():
        ratios = [
            f"{statistics.median(one[f'{what}_against_{PLAIN}']):.2f} "
            f"({statistics.median(one[f'{what}_against_{TUNED}']):.2f})"
            for what in ("cpu", "peak")
        ]
        lines.append(
            f"  {way:<24} {one['cpu_milliseconds_per_row']:8.1f} ms/row  x{ratios[0]}   {one['peak_mib']:7.0f} MiB  "
            f"x{ratios[1]}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
