"""Leakage search with near-duplicates at the reference recipe's size: time, memory, recall by kind of edit, precision.

    python -m benchmarks.near_duplicates [--rows 568640] [--evaluation-rows 1500] [--threshold 0.55] [--json FILE]

Training triplets of random sentences are generated, and edited copies of evaluation sentences are planted in some of
them. Recall is the share of planted sentences whose original is reported, precision the share of reported training rows
that hold a planted sentence.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
from datasets import Dataset, disable_progress_bars

from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.leakage.overlap import near_links, read_sentences
from stsflow.tasks.leakage.policies import check_leakage
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.recipe.sections import LeakageConfig
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.shapes import Shape

EDITS = ("case", "spacing", "word replaced", "word added", "word left out")
PLANTED = 200
"""Evaluation sentences edited in each way."""

Rows = dict[str, list[str]]


def sentences(count: int, rng: random.Random) -> list[str]:
    """Korean-like and English-like sentences of 4 to 12 words, word frequencies falling as in text (Zipf)."""
    korean = [
        "".join(chr(rng.randrange(0xAC00, 0xD7A4, 28)) for _ in range(rng.choice((1, 2, 2, 3)))) for _ in range(6000)
    ]
    english = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 9))) for _ in range(6000)]
    weights = [1 / (rank + 10) for rank in range(6000)]
    draws = {id(words): rng.choices(words, weights, k=count * 8) for words in (korean, english)}
    positions = {key: iter(drawn) for key, drawn in draws.items()}
    made = []
    for _ in range(count):
        stream = positions[id(rng.choice((korean, english)))]
        length = rng.randint(4, 12)
        made.append(" ".join(word for word, _ in zip(stream, range(length), strict=False)) + ".")
    return [text for text in made if text.count(" ") >= 3]


def edited(text: str, kind: str, words: list[str], rng: random.Random) -> str:
    """`text` with one edit."""
    parts = text.split()
    place = rng.randrange(len(parts))
    return {
        "case": text.swapcase(),
        "spacing": "  ".join(parts),
        "word replaced": " ".join([*parts[:place], rng.choice(words), *parts[place + 1 :]]),
        "word added": " ".join([*parts[:place], rng.choice(words), *parts[place:]]),
        "word left out": " ".join([*parts[:place], *parts[place + 1 :]]),
    }[kind]


def prepared(folder: Path, name: str, role: Literal["train", "evaluation"], shape: str, columns: Rows) -> PreparedSet:
    """The columns on disk, as the data stage leaves them."""
    data = Dataset.from_dict(columns)
    data.save_to_disk(str(folder / name))
    counts = RowCounts(read=len(data), kept=len(data))
    source = SourceRef(kind="files", name=name, uri=name, revision="generated")
    return PreparedSet(
        name=name, role=role, shape=shape, roles=Shape.named(shape).roles, title=name, path=folder / name,
        columns=tuple(columns), digest="generated", rows=len(data), counts=counts, source=source,
    )  # fmt: skip


def measure(rows: int, evaluation_rows: int, threshold: float) -> dict[str, object]:
    """Generate, search, compare with what was planted."""
    rng = random.Random(0)
    test = sentences(evaluation_rows * 3, rng)[: evaluation_rows * 2]
    pool = sentences(rows, rng)
    train = [rng.choice(pool) for _ in range(rows * 3)]
    words = [word for text in pool[:500] for word in text.split()]
    originals = rng.sample(range(len(test)), PLANTED * len(EDITS))
    places = rng.sample(range(rows * 3), len(originals))
    for number, (original, place) in enumerate(zip(originals, places, strict=True)):
        train[place] = edited(test[original], EDITS[number % len(EDITS)], words, rng)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = ("anchor", "positive", "negative")
        thirds = {name: train[i * rows : (i + 1) * rows] for i, name in enumerate(names)}
        training = prepared(folder, "train", "train", "triplets", thirds)
        halves = {"anchor": test[:evaluation_rows], "positive": test[evaluation_rows:]}
        evaluation = prepared(folder, "test", "evaluation", "pairs", halves)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        timings = {}
        for policy in ("off", "report"):
            wall, cpu = time.perf_counter(), time.process_time()
            config = LeakageConfig(near_duplicates=policy, near_duplicate_threshold=threshold)
            result = check_leakage([training], [evaluation], config, folder / f"out-{policy}")
            timings[policy] = {
                "wall_seconds": round(time.perf_counter() - wall, 1),
                "cpu_seconds": round(time.process_time() - cpu, 1),
            }  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        train_side = read_sentences(training)
        links = near_links(train_side, read_sentences(evaluation), normalised, threshold)
    linked = links.are_linked(train_side.numbers, len(train_side.distinct))
    reported = {int(row) for row in np.flatnonzero(linked.any(axis=1))}
    planted_rows = {place % rows for place in places}
    found: dict[str, list[bool]] = {kind: [] for kind in EDITS}
    for number, place in enumerate(places):
        found[EDITS[number % len(EDITS)]].append(place % rows in reported)
    return {
        "rows": rows, "evaluation_rows": evaluation_rows, "threshold": threshold,
        "distinct_training_sentences": len(train_side.distinct),
        "without_near_duplicates": timings["off"], "with_near_duplicates": timings["report"],
        "peak_memory_mib": peak // 1024, "of_which_generating_mib": before // 1024,
        "recall": {kind: round(sum(hits) / len(hits), 3) for kind, hits in found.items()},
        "precision": round(len(reported & planted_rows) / max(1, len(reported)), 3),
        "reported_rows": len(reported), "overlap": result.overlaps[0].model_dump(mode="json"),
        "hardware": hardware(), "versions": versions(),
    }  # fmt: skip


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=568_640)
    parser.add_argument("--evaluation-rows", type=int, default=1500)
    parser.add_argument("--threshold", type=float, default=LeakageConfig().near_duplicate_threshold)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    disable_progress_bars()
    figures = json.dumps(measure(arguments.rows, arguments.evaluation_rows, arguments.threshold), indent=2)
    if arguments.json:
        arguments.json.write_text(figures + "\n", encoding="utf-8")
    print(figures)


if __name__ == "__main__":
    main()
