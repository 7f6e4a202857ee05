"""A retrieval suite over a large corpus: time and memory of preparing, of BM25, and of embedding and ranking it.

    python -m benchmarks.retrieval [--passages 1000000] [--queries 1000] [--model FOLDER] [--json FILE]

Passages of random words are written as the three files of BEIR; every query is some words of its passage. Without
`--model` a random BERT of two layers and 32 dimensions embeds them: what it costs to hold and to search a corpus does
not depend on how good its embeddings are.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.suites import RetrievalSuite

WORDS = 20_000


def write_corpus(folder: Path, passages: int, queries: int) -> None:
    """corpus.jsonl, queries.jsonl and qrels/test.tsv of random words, the frequent ones more often (Zipf)."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 9))) for _ in range(WORDS)]
    weights = [1 / (rank + 10) for rank in range(WORDS)]
    asked = set(rng.sample(range(passages), queries))
    (folder / "qrels").mkdir(parents=True)
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (folder / "queries.jsonl").open("w", encoding="utf-8") as asking,
        (folder / "qrels" / "test.tsv").open("w", encoding="utf-8") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for number in range(passages):
            text = rng.choices(words, weights, k=rng.randint(8, 24))
            corpus.write(json.dumps({"_id": f"d{number}", "title": "", "text": " ".join(text)}) + "\n")
            if number in asked:
                query = " ".join(rng.sample(text, 5))
                asking.write(json.dumps({"_id": f"q{number}", "text": query}) + "\n")
                qrels.write(f"q{number}\td{number}\t1\n")


def tiny_model(folder: Path) -> Path:
    """A random BERT, made in a child: what this process held would count as its children's size."""
    fixtures = Path(__file__).parents[1] / "tests" / "fixtures"
    code = "import sys; from pathlib import Path; from models import build_tiny_model as build; "
    code += "build(Path(sys.argv[1]), 'bert')"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=fixtures, check=True, capture_output=True)
    return folder


def peak_mib(who: int) -> float:
    """Largest resident size so far, of this process or of the largest of its children."""
    return resource.getrusage(who).ru_maxrss / 1024


def measure(passages: int, queries: int, model: Path, folder: Path) -> dict[str, object]:
    """Figures of one corpus."""
    write_corpus(folder / "set", passages, queries)
    suite = RetrievalSuite.model_validate({"source": {"kind": "beir", "folder": "set"}})
    config, workspace = EvaluationConfig(suites={"large": suite}, resamples=1000), Workspace(folder / "workspace")
    found: dict[str, object] = {"passages": passages, "queries": queries}
    started = time.perf_counter()
    data = prepare_evaluation(config.suites, folder, workspace)
    found |= {"prepared_seconds": time.perf_counter() - started, "prepared_mib": peak_mib(resource.RUSAGE_SELF)}
    for name, bm25 in (("bm25", True), ("model", False)):
        started = time.perf_counter()
        asked = {"large": suite.model_copy(update={"bm25": bm25})}
        tested = [ModelUnderTest("model", model, "model")] if name == "model" else []
        reports = evaluate_models(
            tested, config.model_copy(update={"suites": asked}), data, folder / name, prompts={}, workspace=workspace
        )  # fmt: skip
        found |= {f"{name}_seconds": time.perf_counter() - started, f"{name}_mib": peak_mib(resource.RUSAGE_CHILDREN)}
        for report in reports:
            found["metrics"] = report.suites["large"].metrics
    return found


def main() -> None:
    """Measure the stages, print the figures, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        model = asked.model or tiny_model(Path(scratch) / "tiny")
        found = {**measure(asked.passages, asked.queries, model, Path(scratch)), **versions(), **hardware()}
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
