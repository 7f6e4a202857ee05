"""From NLI rows in a file to triplets on the disk, at the size of KorNLI: 942,854 rows.

    python -m benchmarks.prepare_data [--rows 942854]

Generated Korean-like rows (three hypotheses for each premise, lengths as in KorNLI) and a generated set of scored
pairs go through `prepare_data` whole: reading, width and encoding of every line, labels, triplets, leakage against a
generated evaluation set, content digest, Arrow. A quarter of the rows goes first, in a process of its own, so that
growth shows: time and memory that grow with the rows and no faster. Results go to standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pydantic import TypeAdapter

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import DataConfig
from stsflow.tasks.suites import Suite

KORNLI_ROWS = 942_854
SYLLABLES = "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허고노도로모보소오조초코토포호"
LABELS = ("entailment", "neutral", "contradiction")


def sentence(chooser: random.Random, mean_words: int) -> str:
    """Words of one to four syllables."""
    words = max(2, round(chooser.gauss(mean_words, mean_words / 3)))
    return " ".join("".join(chooser.choices(SYLLABLES, k=chooser.randint(1, 4))) for _ in range(words))


def write_files(folder: Path, rows: int) -> None:
    """nli.tsv with `rows` rows, sts.tsv with 1,500."""
    chooser = random.Random(1)
    with (folder / "nli.tsv").open("w", encoding="utf-8") as stream:
        stream.write("sentence1\tsentence2\tgold_label\n")
        premise = ""
        for row in range(rows):
            premise = sentence(chooser, 11) if row % 3 == 0 else premise
            stream.write(f"{premise}\t{sentence(chooser, 6)}\t{LABELS[row % 3]}\n")
    with (folder / "sts.tsv").open("w", encoding="utf-8") as stream:
        stream.write("sentence1\tsentence2\tscore\n")
        for row in range(1500):
            stream.write(f"{sentence(chooser, 8)}\t{sentence(chooser, 8)}\t{row % 26 / 5}\n")


def measure(folder: Path) -> dict[str, float]:
    """Prepare what lies in `folder`: CPU seconds, and peak memory of the process in MiB."""
    nli = {"source": {"kind": "files", "paths": ["nli.tsv"]}, "shape": {"kind": "nli_triplets"}}
    suite = {"kind": "sts", "source": {"kind": "files", "paths": ["sts.tsv"]}, "split": "dev"}
    data = DataConfig.model_validate({"root": folder, "train": {"nli": nli}})
    suites: dict[str, Suite] = {"dev": TypeAdapter(Suite).validate_python(suite)}
    started = time.process_time()
    prepared = prepare_data(data, suites, Workspace(folder / "workspace"))
    seconds = time.process_time() - started
    started = time.process_time()
    prepare_data(data, suites, Workspace(folder / "workspace"))
    return {
        "rows": prepared.train[0].counts.read,
        "triplets": prepared.train[0].rows,
        "file_mib": round((folder / "nli.tsv").stat().st_size / 2**20, 1),
        "cpu_seconds": round(seconds, 2),
        "cpu_seconds_when_found_again": round(time.process_time() - started, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Measure a quarter and the whole, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=KORNLI_ROWS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder is not None:
        print(json.dumps(measure(arguments.folder)))
        return
    results = []
    for rows in (arguments.rows // 4, arguments.rows):
        with tempfile.TemporaryDirectory() as name:
            write_files(Path(name), rows)
            command = [sys.executable, "-m", "benchmarks.prepare_data", "--folder", name]
            results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
