"""A task of the Massive Text Embedding Benchmark from a local folder, and what is said when it cannot be had."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import HubStandIn
from models import SENTENCES
from scipy import stats

from stsflow.tasks.evaluation.worker import EvaluationSpec, evaluate
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.suites import MtebSuite
from stsflow.tasks.suites.mteb import find_task

Spec = Callable[..., EvaluationSpec]


def test_sts_task_from_a_local_folder_gives_the_spearman_of_the_cosine(
    spec: Spec, tmp_path: Path, pair_columns: dict[str, list[Any]], small_model: Path
) -> None:
    pytest.importorskip("mteb", reason="mteb is not installed: pip install 'stsflow[mteb]'")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import pairwise_cos_sim

    folder = tmp_path / "kor-sts"
    folder.mkdir()
    with (folder / "test.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence1", "sentence2", "score"])
        writer.writerows(zip(pair_columns["sentence1"], pair_columns["sentence2"], pair_columns["score"], strict=True))
    made = spec({"mteb": MtebSuite(task="KorSTS", folder=folder)})
    scores = evaluate(made, made.models[0]).suites["mteb"]
    model = SentenceTransformer(str(small_model), device="cpu")
    cosine = pairwise_cos_sim(model.encode(pair_columns["sentence1"]), model.encode(pair_columns["sentence2"]))
    expected = stats.spearmanr(cosine.numpy(), pair_columns["score"]).statistic
    assert scores.metrics == {"main_score": pytest.approx(expected, abs=1e-4)}
    assert (scores.rows, scores.split, scores.title) == (60, "test", "MTEB KorSTS")
    written = json.loads((made.models[0].folder / "mteb.mteb.json").read_text(encoding="utf-8"))
    assert written["task_name"] == "KorSTS"


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(EvaluationFailed, match=r"suites\.board: mteb is not installed; pip install 'stsflow\[mteb\]'"):
        find_task(MtebSuite(task="KorSTS"), "board")


def test_unknown_task_and_missing_folder_are_named(tmp_path: Path) -> None:
    pytest.importorskip("mteb", reason="mteb is not installed: pip install 'stsflow[mteb]'")
    with pytest.raises(EvaluationFailed, match=r"suites\.board\.task: .*KorSTSS"):
        find_task(MtebSuite(task="KorSTSS"), "board")
    with pytest.raises(EvaluationFailed, match=r"suites\.board\.folder: there is no folder .*gone"):
        find_task(MtebSuite(task="KorSTS", folder=tmp_path / "gone"), "board")


NANO = """---
configs:
- {config_name: corpus, data_files: [{split: train, path: corpus.jsonl}]}
- {config_name: queries, data_files: [{split: train, path: queries.jsonl}]}
- {config_name: default, data_files: [{split: train, path: qrels.jsonl}]}
---
"""


def test_a_task_of_nanobeir_is_had_by_its_name_from_the_hub(
    spec: Spec, hub_server: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    mteb = pytest.importorskip("mteb", reason="mteb is not installed: pip install 'stsflow[mteb]'")
    pinned = mteb.get_task("NanoSciFactRetrieval").metadata.dataset
    rows = {
        "corpus": [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(SENTENCES)],
        "queries": [{"_id": f"q{n}", "text": SENTENCES[n]} for n in range(4)],
        "qrels": [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in range(4)],
    }
    files = {f"{name}.jsonl": "".join(json.dumps(row) + "\n" for row in part).encode() for name, part in rows.items()}
    hub_server.add("dataset", pinned["path"], {"README.md": NANO.encode(), **files})
    revisions = hub_server.repositories["dataset", pinned["path"]].revisions
    revisions[pinned["revision"]] = revisions.pop(next(iter(revisions)))
    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub_server.address)
    made = spec({"nano": MtebSuite(task="NanoSciFactRetrieval")})
    scores = evaluate(made, made.models[0]).suites["nano"]
    assert scores.metrics == {"main_score": 1.0}  # every query is the text that it looks for
    assert scores.split == "train"
