"""`stsflow embed` of a million short texts: memory, and the same file to the bit when it is killed and resumed.

    python -m benchmarks.embed [--texts 1000000] [--kills 2] [--precision float32]

Generated texts of 3 to 12 words and a random model of two layers. The file is made once undisturbed and once with the
whole command killed (SIGKILL) as often as `--kills` says, evenly over its blocks. Memory is the largest resident size
of command and worker, sampled, in each tenth of the blocks. Results go to standard output as JSON lines.
"""

from __future__ import annotations

import argparse
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

import psutil

from benchmarks.retrieval import WORDS, tiny_model
from stsflow.tasks.ground.fingerprint import sha256_of_file


def write_texts(path: Path, count: int) -> None:
    """JSON lines with `id` and `text`."""
    draw = random.Random(3)
    names = ["".join(draw.choices("etaoinshrdlucmfwypvbgk", k=draw.randint(2, 9))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 1) for rank in range(WORDS)))
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            words = draw.choices(names, cum_weights=weights, k=draw.randint(3, 12))
            stream.write(json.dumps({"id": number, "text": " ".join(words)}) + "\n")


def run(command: list[str], out: Path, blocks: int, kill_at: int | None) -> tuple[bool, dict[int, float]]:
    """Run the command; whether it ended by itself, and by tenth of the blocks the largest MiB of all its processes."""
    environment = os.environ | {"STSFLOW_WORKSPACE": str(out.parents[1] / "workspace")}
    child = subprocess.Popen([*command, str(out)], env=environment, stdout=subprocess.DEVNULL)
    folder, memory = out.with_name(f".{out.name}.blocks"), dict[int, float]()
    while child.poll() is None:
        done = sum(1 for _ in folder.glob("*.arrow"))
        tenth = min(9, 10 * done // blocks)
        memory[tenth] = max(memory.get(tenth, 0.0), resident_mib(child.pid))
        if kill_at is not None and done >= kill_at:
            below = psutil.Process(child.pid).children(recursive=True)
            child.send_signal(signal.SIGKILL)
            child.wait()
            if psutil.wait_procs(below, timeout=60)[1]:
                raise SystemExit("the worker of a command that was killed did not end with it")
            return False, memory
        time.sleep(0.2)  # between two looks at blocks and memory
    if child.returncode != 0:
        raise SystemExit(f"stsflow embed ended with {child.returncode}")
    return True, memory


def resident_mib(root: int) -> float:
    """Of the process and all below it."""
    total = 0
    try:
        parent = psutil.Process(root)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    asked = parser.parse_args()
    from stsflow.tasks.embedding.request import ROWS_OF_A_BLOCK

    blocks = -(-asked.texts // ROWS_OF_A_BLOCK)
    with tempfile.TemporaryDirectory(prefix="embed-") as folder:
        root = Path(folder)
        model = tiny_model(root / "model")
        write_texts(root / "texts.jsonl", asked.texts)
        command = [
            sys.executable, "-m", "stsflow.flows", "embed", str(model), str(root / "texts.jsonl"), "--keep", "id",
            "--precision", asked.precision, "--out",
        ]  # fmt: skip
        digests = {}
        for name, kills in (("undisturbed", 0), ("killed", asked.kills)):
            out = root / name / "vectors.parquet"
            out.parent.mkdir()
            started = time.monotonic()
            for number in range(kills):
                ended, _ = run(command, out, blocks, (number + 1) * blocks // (kills + 1))
                assert not ended
            _, memory = run(command, out, blocks, None)
            digests[name] = sha256_of_file(out)
            told = {
                "run": name, "texts": asked.texts, "kills": kills, "seconds": round(time.monotonic() - started, 1),
                "mib_by_tenth": {tenth: round(mib) for tenth, mib in sorted(memory.items())},
                "file_mib": round(out.stat().st_size / 2**20, 1), "sha256": digests[name],
            }  # fmt: skip
            print(json.dumps(told), flush=True)
        print(json.dumps({"the_same_file": digests["undisturbed"] == digests["killed"]}), flush=True)


if __name__ == "__main__":
    main()
