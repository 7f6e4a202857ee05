"""The packaged MiniLM on real pairs: all ten metrics against sentence-transformers' encode and scipy."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from stsflow.tasks.evaluation.adhoc import suite_of_file
from stsflow.tasks.evaluation.worker import EvaluationSpec, ModelSpec, evaluate
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet

ROWS = 120


@pytest.mark.realdata
def test_ten_metrics_of_minilm_agree_with_an_independent_computation(
    kornlu: Path, minilm: Path, prepare: Callable[..., PreparedSet], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    file = kornlu / "KorSTS" / "sts-test.tsv"
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[:ROWS]
    columns: dict[str, list[Any]] = {name: [row[name].strip() for row in rows] for name in ("sentence1", "sentence2")}
    columns["score"] = [float(row["score"]) / 5 for row in rows]
    data = prepare("sts-test", columns)
    model = ModelSpec(name="minilm", path=minilm, digest="minilm", folder=tmp_path)
    config = EvaluationConfig(suites=suite_of_file(file), resamples=0)
    scores = evaluate(EvaluationSpec(models=(model,), config=config, data=(data,)), model).suites["sts-test"]

    encoder = SentenceTransformer(str(minilm), device="cpu")
    a, b = (encoder.encode(columns[name]).astype(np.float64) for name in ("sentence1", "sentence2"))
    predicted = {
        "cosine": (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)),
        "manhattan": -np.abs(a - b).sum(1),
        "euclidean": -np.sqrt(((a - b) ** 2).sum(1)),
        "dot": (a * b).sum(1),
    }
    for kind, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        values = {name: function(values, columns["score"]).statistic for name, values in predicted.items()}
        for name, value in {**values, "max": max(values.values())}.items():
            assert scores.metrics[f"{kind}_{name}"] == pytest.approx(value, abs=1e-4), f"{kind}_{name}"
