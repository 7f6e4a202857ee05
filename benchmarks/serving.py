"""What batching across requests is worth: many clients at once against one request at a time, on the real server.

    OMP_NUM_THREADS=2 python -m benchmarks.serving MODEL --requests 2000 --clients 32 --json serving.json

MODEL is a folder. `stsflow serve` runs in a process of its own, and is asked over HTTP for one text a request, of 1 to
512 tokens (or as many as the model reads; short ones more often), the same texts both times. Each answer is held to the
model's own `encode`. Printed are requests that were lost, the largest difference, p50 and p99 of a request, requests a
second, and their ratio. The clients run on the same machine and take their share of it.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from stsflow.tasks.ground.environment import hardware, versions

ROOT = Path(__file__).resolve().parents[1]
WORDS = (
    "old",
    "man",
    "sea",
    "남자가",
    "기타를",
    "연주하고",
    "있다",
    "nobody",
    "reads",
    "12",
    "books",
    "rain",
    "falls",
    "road",
)


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--longest", type=int, default=512, help="tokens")
    parser.add_argument("--one-at-a-time", type=int, help="requests of the second measurement; default: a quarter")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    texts, expected = texts_with_embeddings(arguments.model, arguments.requests, arguments.longest)
    alone = arguments.one_at_a_time or max(1, arguments.requests // 4)
    with tempfile.TemporaryDirectory() as name, Server(arguments.model, Path(name)) as url:
        ask_all(url, texts[:32], expected[:32], 4)  # both measurements find a warm server
        found = {
            f"{arguments.clients} clients": ask_all(url, texts, expected, arguments.clients),
            "one at a time": ask_all(url, texts[:alone], expected[:alone], 1),
        }
    for what, one in found.items():
        print(
            f"{what:<14} {one['requests']:5d} requests, {one['lost']} lost, difference {one['difference']:.1e}, "
            f"p50 {one['p50'] * 1e3:7.1f} ms, p99 {one['p99'] * 1e3:7.1f} ms, {one['per_second']:7.1f} requests/s"
        )
    together, single = found.values()
    print(f"throughput: {together['per_second'] / single['per_second']:.2f} times one request at a time")
    if arguments.json:
        everything = {"found": found, "load": os.getloadavg(), "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def texts_with_embeddings(folder: Path, count: int, longest: int) -> tuple[list[str], np.ndarray]:
    """Texts of 1 to `longest` tokens, and the embeddings that the model itself gives them."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    longest = min(longest, model.max_seq_length or longest)
    draw = random.Random(5)
    lengths = [max(1, int(longest * draw.random() ** 2)) for _ in range(count)]
    texts = [" ".join(draw.choices(WORDS, k=length)) for length in lengths]  # a word is a token or more: some are cut
    # Where a folder names a query prompt and no default, that one goes before a text of neither side (docs/prompts.md).
    default = model.default_prompt_name or ("query" if model.prompts.get("query") else None)
    return texts, model.encode(texts, prompt_name=default, batch_size=16, show_progress_bar=False)


class Server:
    """`stsflow serve` in a process of its own for the block, which gets its address."""

    def __init__(self, model: Path, workspace: Path) -> None:
        self.command = [
            sys.executable, "-m", "stsflow.flows", "serve", str(model.absolute()), "--port", "0", "--json",
        ]  # fmt: skip
        self.environment = os.environ | {"STSFLOW_WORKSPACE": str(workspace / "workspace"), "HF_HUB_OFFLINE": "1"}

    def __enter__(self) -> str:
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert self.process.stdout is not None
        return str(json.loads(self.process.stdout.readline())["url"])

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        assert code == 0, f"the server ended with {code}"


def ask_all(url: str, texts: list[str], expected: np.ndarray, clients: int) -> dict[str, Any]:
    """Every text asked for by one of so many clients; seconds of a request, and what did not come back."""
    with httpx.Client(
        base_url=url, timeout=600, trust_env=False, limits=httpx.Limits(max_connections=clients)
    ) as client:

        def ask(number: int) -> tuple[float, float | None]:
            started = time.perf_counter()
            answer = client.post("/embeddings", json={"input": texts[number]})
            seconds = time.perf_counter() - started
            if answer.status_code != 200:
                return seconds, None
            row = np.array(answer.json()["data"][0]["embedding"])
            return seconds, float(np.abs(row - expected[number]).max())

        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(ask, range(len(texts))))
        seconds = time.perf_counter() - started
    took = sorted(one for one, _ in answers)
    differences = [off for _, off in answers if off is not None]
    return {
        "requests": len(texts), "lost": len(texts) - len(differences), "difference": max(differences, default=np.nan),
        "p50": took[len(took) // 2], "p99": took[min(len(took) - 1, int(len(took) * 0.99))],
        "per_second": len(texts) / seconds,
    }  # fmt: skip


if __name__ == "__main__":
    main()
