"""Training on a GPU: the plain script's way, the library's best settings, and stsflow's levers, in turn.

    python -m benchmarks.gpu.training --json gpu.json
    python -m benchmarks.gpu.training --device cpu --shapes minilm --batches 4 --steps 3 --rounds 1   # does it run?

Needs torch, transformers, sentence-transformers and datasets, and this checkout; nothing else of stsflow's
dependencies. Every way trains the same rows with the library's own trainer, so that only the levers differ:

- plain: the settings of `benchmarks/plain_recipe.py`, float32, padded;
- library's best: bf16, fused AdamW, loader workers, hashed sampler, padded;
- stsflow float32 and bf16: flattened batches with the kernel that stsflow chooses, all columns in one forward pass.

The data are triplets and scored pairs in turn (round robin), as long as real ones. Counted is the time between the end
of the first steps and of the last, everything in the loop included; peak memory is the device's. MFU is the work of the
real tokens over what the device's measured bf16 matrix peak could have done in that time.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from benchmarks.gpu.lengths import pairs, triplets
from benchmarks.gpu.shapes import SHAPES, WORDS, Shape, build, measured_peak, operations, synchronise

WARM_UP = 2
"""Steps before the clock starts: kernels are chosen and caches filled in them."""
PLAIN = "plain"


@dataclass(frozen=True)
class Way:
    """How to train."""

    arguments: dict[str, Any]
    flat: bool = False
    precision: Literal["float32", "bf16"] = "float32"


LOADER = {"dataloader_num_workers": 4, "dataloader_pin_memory": True, "dataloader_persistent_workers": True}
WAYS = {
    PLAIN: Way({"batch_sampler": "no_duplicates"}),
    "library's best": Way({"batch_sampler": "no_duplicates_hashed", "bf16": True, **LOADER}, precision="bf16"),
    "stsflow float32": Way({"batch_sampler": "no_duplicates_hashed", **LOADER}, flat=True),
    "stsflow bf16": Way({"batch_sampler": "no_duplicates_hashed", "bf16": True, **LOADER}, flat=True, precision="bf16"),
}


def main() -> None:
    """Measure, print, write JSON where asked."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64, 256], help="rows of a batch")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; `--device cpu` shows that the benchmark runs, no more")
    peak = measured_peak(arguments.device, 8192 if arguments.device == "cuda" else 1024)
    results = [
        compare(shape, size, arguments.device, arguments.steps, arguments.rounds, peak)
        for shape in arguments.shapes for size in arguments.batches
    ]  # fmt: skip
    found = {"results": results, "measured_bf16_peak": peak, "machine": machine(arguments.device)}
    print(f"{found['machine']}\nmeasured bf16 peak {peak / 1e12:.1f} TFLOP/s")
    for result in results:
        print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def compare(name: str, size: int, device: str, steps: int, rounds: int, peak: float) -> dict[str, Any]:
    """Every way at one shape and batch size, alternating; one that runs out of memory is said to."""
    import torch

    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for way, how in WAYS.items():
            if way in failed:
                continue
            try:
                runs[way].append(train(SHAPES[name], how, size, steps, device))
            except torch.OutOfMemoryError as error:
                failed[way] = str(error).splitlines()[0]
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()
    ways: dict[str, Any] = dict(failed)
    for way, measured in runs.items():
        if way in failed:
            continue
        seconds = statistics.median(one["seconds"] for one in measured)
        rows, tokens, work = (measured[0][key] for key in ("rows", "tokens", "operations"))
        ways[way] = {
            "rows_per_second": rows / seconds, "tokens_per_second": tokens / seconds,
            "peak_mib": max(one["peak_bytes"] for one in measured) / 2**20, "mfu": work / seconds / peak,
            "seconds": [one["seconds"] for one in measured],
            "counters": {key: value for key, value in measured[0].items() if key.endswith("_batches")},
        }  # fmt: skip
        if PLAIN not in failed:
            ratios = [one["seconds"] / other["seconds"] for one, other in zip(measured, runs[PLAIN], strict=True)]
            ways[way] |= {"time_against_plain": statistics.median(ratios), "ratios": ratios}
    return {"shape": name, "batch": size, "steps": steps, "ways": ways}


def train(shape: Shape, way: Way, size: int, steps: int, device: str) -> dict[str, float]:
    """Seconds, rows, tokens and work of the steps after the first ones, and the device's peak memory."""
    import torch
    from datasets import Dataset, DatasetDict
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    from stsflow.tasks.models.merge_columns import MergedColumns
    from stsflow.tasks.models.padding_free import counters, enable_padding_free

    rows = size * (steps // 2 + 1)
    sets = DatasetDict(
        nli=Dataset.from_dict(triplets(rows, WORDS, seed=1)), sts=Dataset.from_dict(pairs(rows, WORDS, seed=1))
    )
    model = build(shape, device)
    losses: dict[str, Any] = {"nli": MultipleNegativesRankingLoss(model), "sts": CosineSimilarityLoss(model)}
    if way.flat:
        enable_padding_free(model, "on", device, way.precision)
        losses = {name: MergedColumns(loss) for name, loss in losses.items()}
    with tempfile.TemporaryDirectory() as folder:
        clock = clock_of(device, model)
        trainer = SentenceTransformerTrainer(
            model=model, train_dataset=sets, loss=losses, callbacks=[clock],
            args=SentenceTransformerTrainingArguments(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=size, learning_rate=5e-5, seed=1,
                multi_dataset_batch_sampler="round_robin", save_strategy="no", report_to="none", disable_tqdm=True,
                use_cpu=device == "cpu", logging_strategy="no", **way.arguments,
            ),
        )  # fmt: skip
        trainer.train()
    lengths = [int(length) for batch in clock.lengths for length in batch.tolist()]
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    return {
        "seconds": clock.seconds, "rows": float(size * (steps - WARM_UP)), "tokens": float(sum(lengths)),
        "operations": operations(model, shape, lengths), "peak_bytes": float(peak), **counters(model),
    }  # fmt: skip


def clock_of(device: str, model: Any) -> Any:
    """A callback that measures the steps after the first ones, and keeps the lengths of the texts in them."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.seconds = 0.0
            self.started = 0.0
            self.running = False
            self.lengths: list[Any] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - its names
            """Start the clock after the first steps, stop it after the last."""
            if state.global_step == WARM_UP:
                synchronise(device)
                if device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                self.running, self.started = True, time.perf_counter()
            if state.global_step == state.max_steps:
                synchronise(device)
                self.seconds = time.perf_counter() - self.started

        def count(self, _module: Any, arguments: tuple[Any, ...]) -> None:
            if self.running:
                self.lengths.append(texts_of(arguments[0]))

    clock = Clock()
    model[0].register_forward_pre_hook(clock.count)
    return clock


def texts_of(features: dict[str, Any]) -> Any:
    """Length in tokens of every text of a batch, padded or flattened: a tensor, for reading it would wait for it."""
    if "cu_seq_lens_q" in features:
        return features["cu_seq_lens_q"].diff()
    return features["attention_mask"].sum(dim=1)


def machine(device: str) -> dict[str, str]:
    """Device and versions."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    packages = ("torch", "transformers", "sentence-transformers", "datasets", "accelerate")
    return {"device": name, "python": platform.python_version()} | {package: version(package) for package in packages}


def table(result: dict[str, Any]) -> str:
    """A few lines for people."""
    lines = [f"{result['shape']}, batch {result['batch']}, {result['steps']} steps"]
    for way, one in result["ways"].items():
        if isinstance(one, str):
            lines.append(f"  {way:<16} {one}")
            continue
        lines.append(
            f"  {way:<16} {one['rows_per_second']:9.0f} rows/s {one['tokens_per_second']:11.0f} tokens/s  time x"
            f"{one.get('time_against_plain', float('nan')):.2f}  {one['peak_mib']:7.0f} MiB  MFU {one['mfu']:.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
