"""What an index in fewer bits costs, on suites: against numpy and scipy on the model's own embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from models import SENTENCES
from pydantic import TypeAdapter, ValidationError
from scipy.stats import spearmanr

from stsflow.tasks.evaluation.worker import EvaluationSpec, evaluate
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import QuantisedRetrievalSuite, QuantisedSuite, Suite

SOURCE = FilesSource(paths=("rows.tsv",))
Prepare = Callable[..., PreparedSet]
Spec = Callable[..., EvaluationSpec]


def _embeddings(model: Path, texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return np.asarray(SentenceTransformer(str(model), device="cpu").encode(texts), np.float64)


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


def test_scores_and_losses_of_pairs(prepare: Prepare, spec: Spec, small_model: Path) -> None:
    texts = list(SENTENCES)
    seconds, gold = texts[3:] + texts[:3], [float(number * 7 % 11) / 10 for number in range(len(texts))]
    rows = prepare("index", {"sentence1": texts, "sentence2": seconds, "score": gold}, clean=list(range(6)))
    made = spec({"index": QuantisedSuite(source=SOURCE)}, rows)
    scores = evaluate(made, made.models[0]).suites["index"]
    first, second = _embeddings(small_model, texts), _embeddings(small_model, seconds)
    signs = np.where(second > 0, 1.0, -1.0)
    step = (second.max(axis=0) - second.min(axis=0)) / 255
    int8 = second.min(axis=0) + np.floor((second - second.min(axis=0)) / step) * step
    by_form = {
        "float32": _cosines(first, second), "int8": _cosines(first, int8),
        "binary": _cosines(np.where(first > 0, 1.0, -1.0), signs), "binary_rescored": _cosines(first, signs),
    }  # fmt: skip
    written = pq.read_table(scores.pairs)
    for form, cosines in by_form.items():
        assert written[f"cosine_{form}"].to_pylist() == pytest.approx(cosines.tolist(), abs=1e-3)
        expected = spearmanr(np.round(cosines, 9), gold).statistic
        assert scores.metrics[f"spearman_cosine_{form}"] == pytest.approx(
            expected, abs=0.02 if form == "int8" else 1e-6
        )
    assert scores.primary == "spearman_cosine_float32"
    loss = scores.metrics["spearman_cosine_float32"] - scores.metrics["spearman_cosine_binary"]
    assert scores.metrics["loss_binary"] == pytest.approx(loss)
    assert scores.intervals["loss_binary"].low <= loss <= scores.intervals["loss_binary"].high
    assert set(scores.clean) == set(scores.metrics) == set(QuantisedSuite(source=SOURCE).metrics)


def test_a_loss_is_paired_and_so_far_narrower_than_the_scores_it_is_made_of(prepare: Prepare, spec: Spec) -> None:
    texts = list(SENTENCES)
    columns = {"sentence1": texts, "sentence2": texts[1:] + texts[:1], "score": [i % 5 / 4 for i in range(len(texts))]}
    made = spec({"index": QuantisedSuite(source=SOURCE, precisions=("int8",))}, prepare("index", columns))
    scores = evaluate(made, made.models[0]).suites["index"]
    loss, score = scores.intervals["loss_int8"], scores.intervals["spearman_cosine_int8"]
    assert loss.high - loss.low < (score.high - score.low) / 3


def test_retrieval_from_an_index(prepare: Prepare, spec: Spec, small_model: Path) -> None:
    texts = list(SENTENCES)
    columns = {"sentence1": texts, "sentence2": texts[2:] + texts[:2], "score": [1.0] * len(texts)}
    suite = QuantisedRetrievalSuite(source=SOURCE, ndcg_at=(3,), recall_at=(1,))
    made = spec({"faq": suite}, prepare("faq", columns))
    scores = evaluate(made, made.models[0]).suites["faq"]
    assert set(scores.metrics) == set(suite.metrics)
    asked, corpus = _embeddings(small_model, texts), _embeddings(small_model, columns["sentence2"])
    bits = np.where(corpus > 0, 1.0, -1.0)
    by_bits = np.where(asked > 0, 1.0, -1.0) @ bits.T
    best = [np.lexsort((np.arange(len(texts)), -row))[0] for row in by_bits]
    assert scores.metrics["recall_at_1_binary"] == pytest.approx(np.mean(np.array(best) == np.arange(len(texts))))
    for form in ("int8", "binary", "binary_rescored"):
        loss = scores.metrics["ndcg_at_3"] - scores.metrics[f"ndcg_at_3_{form}"]
        assert scores.metrics[f"loss_{form}"] == pytest.approx(loss)
        assert scores.intervals[f"loss_{form}"].low <= loss + 1e-12


def test_less_of_a_loss_is_better() -> None:
    for suite in (QuantisedSuite, QuantisedRetrievalSuite):
        assert not suite.metric("loss_int8").higher_is_better
    assert QuantisedSuite.metric("spearman_cosine_int8").higher_is_better


def test_a_precision_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="int8"):
        TypeAdapter(Suite).validate_python({"kind": "quantised", "source": SOURCE, "precisions": ["int4"]})
