"""Mined negatives: what the filters let through, what it costs on real rows, and a million texts within 4 GiB.

    python -m benchmarks.mining planted --parakqc paraKQC_v1.txt --model FOLDER
    python -m benchmarks.mining real --data KorNLUDatasets --chatbot ChatbotData.csv --model FOLDER [--rows 2000]
    python -m benchmarks.mining large [--texts 1000000] [--anchors 1000]

`planted`: of 1,000 questions of paraKQC the second paraphrase is the positive; the third paraphrase of 200 of them is
hidden in the corpus, where nothing says that it is a positive. Counted is for how many of the 200 anchors it is mined.
`real`: XNLI-ko triplets, KorSTS pairs from a score of 4 on and questions with answers, each mined from its own
positives, with the suites KorSTS dev and test. `large`: generated texts and a random model of two layers; the process
is killed when a quarter of the embeddings is there, and goes on. Results go to standard output as JSON lines.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.retrieval import WORDS, tiny_model
from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.mining.build import mine_negatives
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.mining import MiningAudit
from stsflow.tasks.sets.rows import read_rows

PLANTED = 200
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "skip 1": {"skip": 1},
    "skip 5": {"skip": 5},
    "max_score 0.9": {"max_score": 0.9},
    "absolute_margin 0": {"absolute_margin": 0.0},
    "absolute_margin 0.05": {"absolute_margin": 0.05},
    "relative_margin 0.05": {"relative_margin": 0.05},
    "relative_margin 0.1": {"relative_margin": 0.1},
    "bm25, none": {"candidates": ["bm25"]},
    "bm25, relative_margin 0.05": {"candidates": ["bm25"], "relative_margin": 0.05},
    "bm25 and dense, relative_margin 0.05": {"candidates": ["bm25", "dense"], "relative_margin": 0.05},
}


def write(path: Path, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """JSON lines."""
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")


def recipe(root: Path, model: Path, train: dict[str, Any], mining: dict[str, Any], suites: dict[str, Any]) -> RunConfig:
    """A recipe that mines for every training set that `mining` names."""
    return RunConfig.model_validate(
        {
            "name": "mining",
            "model": {"source": {"kind": "directory", "path": str(model)}},
            "data": {"root": str(root), "train": train},
            "mining": mining,
            "evaluation": {"suites": suites},
        }
    )


def files(*paths: Path) -> dict[str, Any]:
    """A source."""
    return {"kind": "files", "paths": [path.name for path in paths]}


def no_suite(root: Path) -> dict[str, Any]:
    """A suite of two rows whose texts are nowhere else."""
    write(root / "dev.jsonl", ["sentence1", "sentence2", "score"], [("ㄱ one", "ㄱ two", 0), ("ㄴ one", "ㄴ two", 5)])
    return {"dev": {"kind": "sts", "split": "dev", "source": files(root / "dev.jsonl")}}


def told(audit: MiningAudit, **more: object) -> None:
    """One line of JSON."""
    kept = audit.model_dump(mode="json", exclude={"examples", "model", "guide", "corpus_source", "digest_before"})
    print(json.dumps({**more, **kept}, ensure_ascii=False), flush=True)


def planted(parakqc: Path, model: Path, root: Path) -> None:
    """For each filter, how many of the hidden positives are mined."""
    texts = [line.split("\t")[2].strip() for line in parakqc.read_text("utf-8").splitlines()]
    groups = [texts[first : first + 10] for first in range(0, len(texts), 10)]
    chosen = random.Random(0).sample(range(len(groups)), PLANTED)
    hidden = {groups[number][0]: groups[number][2] for number in chosen}
    write(root / "train.jsonl", ["anchor", "positive"], [(group[0], group[1]) for group in groups])
    write(root / "corpus.jsonl", ["text"], [(group[1],) for group in groups] + [(text,) for text in hidden.values()])
    one = {"source": files(root / "train.jsonl"), "shape": {"kind": "pairs"}}
    common = {"negatives": 3, "depth": 50, "corpus_file": {"source": files(root / "corpus.jsonl")}}
    sets = {f"set-{number}": config for number, config in enumerate(FILTERS.values())}
    mining = {name: common | config for name, config in sets.items()}
    asked = recipe(root, model, dict.fromkeys(sets, one), mining, no_suite(root))
    workspace = Workspace(root / "workspace")
    data = prepare_data(asked.data, asked.evaluation.suites, workspace)
    found = mine_negatives(asked, data, fetch_base_model(asked.model, workspace), workspace)
    for name, mined in zip(FILTERS, found.train, strict=True):
        rows = read_rows(mined).to_pylist()
        through = sum(hidden.get(row["anchor"]) in [row[f"negative_{n}"] for n in (1, 2, 3)] for row in rows)
        assert mined.mined is not None
        told(mined.mined, filter=name, hidden=PLANTED, mined_as_negatives=through)


def real(kornlu: Path, chatbot: Path, model: Path, rows: int, root: Path) -> None:
    """Time, memory and audit on real rows."""
    with (kornlu / "KorSTS" / "sts-train.tsv").open(encoding="utf-8") as stream:
        lines = [line.rstrip("\n").split("\t") for line in stream][1:]
    write(root / "korsts.jsonl", ["anchor", "positive"], [(line[5], line[6]) for line in lines if float(line[4]) >= 4])
    with chatbot.open(encoding="utf-8", newline="") as stream:
        write(root / "chatbot.jsonl", ["anchor", "positive"], [(one["Q"], one["A"]) for one in csv.DictReader(stream)])
    names = {"xnli": "KorNLI/xnli.dev.ko.tsv", "dev": "KorSTS/sts-dev.tsv", "test": "KorSTS/sts-test.tsv"}
    for name, path in names.items():
        (root / f"{name}.tsv").write_bytes((kornlu / path).read_bytes())
    suites = {name: {"kind": "sts", "split": name, "source": files(root / f"{name}.tsv")} for name in ("dev", "test")}
    pairs = {
        name: {"source": files(root / f"{name}.jsonl"), "shape": {"kind": "pairs"}, "limit": rows}
        for name in ("korsts", "chatbot")
    }
    train = {"xnli": {"source": files(root / "xnli.tsv"), "shape": {"kind": "nli_triplets"}}, **pairs}
    section = {"negatives": 3, "depth": 50, "candidates": ["dense", "bm25"], "relative_margin": 0.05, "fewer": "keep"}
    asked = recipe(root, model, train, dict.fromkeys(train, section), suites)
    workspace = Workspace(root / "workspace")
    data = prepare_data(asked.data, asked.evaluation.suites, workspace)
    for item in mine_negatives(asked, data, fetch_base_model(asked.model, workspace), workspace).train:
        assert item.mined is not None
        told(item.mined)


def large_once(root: Path) -> None:
    """Mine once from what lies in `root`."""
    corpus = {"source": files(root / "corpus.jsonl")}
    section = {"negatives": 2, "depth": 50, "candidates": ["dense", "bm25"], "corpus_file": corpus}
    train = {"qa": {"source": files(root / "train.jsonl"), "shape": {"kind": "pairs"}}}
    asked = recipe(root, root / "model", train, {"qa": section}, no_suite(root))
    workspace = Workspace(root / "workspace")
    data = prepare_data(asked.data, asked.evaluation.suites, workspace)
    started = time.monotonic()
    mined = mine_negatives(asked, data, fetch_base_model(asked.model, workspace), workspace).training_set("qa")
    assert mined.mined is not None
    told(mined.mined, whole_seconds=round(time.monotonic() - started, 1))


def large(texts: int, anchors: int, root: Path) -> None:
    """A million texts: killed once, then to the end."""
    rng = random.Random(0)
    words = ["".join(rng.choices("가나다라마바사아자차카타파하거너더러", k=rng.randint(1, 4))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 10) for rank in range(WORDS)))
    made = [" ".join(rng.choices(words, cum_weights=weights, k=rng.randint(4, 8))) for _ in range(texts)]
    write(root / "corpus.jsonl", ["text"], [(text,) for text in made])
    write(root / "train.jsonl", ["anchor", "positive"], [
        (f"{' '.join(rng.sample(text.split(), 3))} {number}", text) for number, text in enumerate(made[:anchors])
    ])  # fmt: skip
    del made
    tiny_model(root / "model")
    command = [sys.executable, "-m", "benchmarks.mining", "large-once", "--folder", str(root)]
    first = subprocess.Popen(command, start_new_session=True)
    size, wanted = 0, texts * 32 * 4 // 4
    while size < wanted and first.poll() is None:
        time.sleep(1)
        size = max((path.stat().st_size for path in (root / "workspace").glob("embeddings/*/vectors.f32")), default=0)
    os.killpg(first.pid, signal.SIGKILL)
    print(json.dumps({"killed_at_bytes": size, "of": texts * 32 * 4}), flush=True)
    subprocess.run(command, check=True)
    log = next((root / "workspace" / "mined").glob("*.log")).read_text("utf-8")
    print(json.dumps({"resumed": [line.partition(": ")[2] for line in log.splitlines() if "are there" in line]}))


def main() -> None:
    """The part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["planted", "real", "large", "large-once"])
    parser.add_argument("--parakqc", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--chatbot", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--anchors", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.folder or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        if given.part == "planted":
            planted(given.parakqc, given.model, root)
        elif given.part == "real":
            real(given.data, given.chatbot, given.model, given.rows, root)
        elif given.part == "large":
            large(given.texts, given.anchors, root)
        else:
            large_once(root)


if __name__ == "__main__":
    main()
