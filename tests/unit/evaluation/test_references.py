"""BM25 beside the models: its scores are bm25s's own, and it is scored once for the same rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from models import SENTENCES

from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.evaluation.side_by_side import side_by_side
from stsflow.tasks.evaluation.task import score_table
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.search.lexical import K1, B, tokens_of
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import RetrievalSuite
from stsflow.tasks.tracking import entries

CORPUS = [f"{text} {other}" for text in SENTENCES for other in SENTENCES[::5]]
QUERIES = {"the guitar of a man": [0, 2], "아이들이 점심을 먹다": [44, 45], "no word of these": [7], "piano": [4]}


@pytest.fixture
def columns() -> dict[str, list[Any]]:
    judged = [(query, CORPUS[number], 1.0) for query, numbers in QUERIES.items() for number in numbers]
    rows = [("", passage, 0.0) for passage in CORPUS] + judged
    return dict(zip(("sentence1", "sentence2", "score"), map(list, zip(*rows, strict=True)), strict=True))


def by_bm25s_and_trec_eval() -> dict[str, list[float]]:
    alone = bm25s.BM25(k1=K1, b=B, method="lucene")
    alone.index([tokens_of(text) for text in CORPUS], show_progress=False)
    found = {query: alone.get_scores(tokens_of(query)) for query in QUERIES}
    run = {
        query: {f"{999 - number}": float(score) for number, score in enumerate(scores) if score > 0}
        for query, scores in found.items()
    }  # equal scores: trec_eval puts the later name first
    qrels = {query: {f"{999 - number}": 1 for number in numbers} for query, numbers in QUERIES.items()}
    values = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map_cut.100", "recall.10"}).evaluate(run)
    names = {"ndcg_at_10": "ndcg_cut_10", "map_at_100": "map_cut_100", "recall_at_10": "recall_10"}
    return {mine: [values[query][theirs] for query in QUERIES] for mine, theirs in names.items()}


def test_bm25_is_scored_once_as_bm25s_scores_it_and_stands_beside_the_models(
    prepare: Callable[..., PreparedSet], columns: dict[str, list[Any]], small_model: Path, other_model: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    workspace = Workspace(tmp_path / "workspace")
    data = PreparedData(fingerprint="data", train=(), evaluation=(prepare("faq", columns),))
    suites = {"faq": RetrievalSuite(source=FilesSource(paths=("rows.tsv",)))}
    config = EvaluationConfig(suites=suites, resamples=50)
    models = [ModelUnderTest("base", small_model, "digest-1"), ModelUnderTest("tuned", other_model, "digest-2")]
    base, tuned = (
        evaluate_models([model], config, data, tmp_path / "run", workspace=workspace, prompts={})[0] for model in models
    )

    found = tuned.suites["faq"].reference
    assert found is not None and found == base.suites["faq"].reference
    assert found.pairs == tmp_path / "run" / "bm25" / "faq.parquet"
    rows = pq.read_table(found.pairs).to_pydict()
    for name, expected in by_bm25s_and_trec_eval().items():
        by_query = dict(zip(rows["query"], rows[name], strict=True))
        assert by_query == pytest.approx(dict(zip(QUERIES, expected, strict=True)))
        assert found.metrics[name] == pytest.approx(sum(expected) / len(expected), abs=1e-9)
    assert 0.2 < found.metrics["ndcg_at_10"] < 1
    assert (tmp_path / "run" / "worker.log").read_text(encoding="utf-8").count("bm25 on faq") == 1

    (sent,) = entries.scores([base, tuned], ())
    recorded = {name: value for name, value, *_ in sent.points}  # type: ignore[union-attr]
    assert {f"bm25/faq/{name}": value for name, value in found.metrics.items()}.items() <= recorded.items()
    (row,) = score_table(side_by_side(base, tuned), "base", "tuned")
    assert list(row)[2:6] == ["metric", "bm25", "base", "tuned"]
    assert row["bm25"] == f"{found.metrics['ndcg_at_10']:.4f}"


def test_bm25_can_be_left_out(
    prepare: Callable[..., PreparedSet], columns: dict[str, list[Any]], small_model: Path, tmp_path: Path
) -> None:
    data = PreparedData(fingerprint="data", train=(), evaluation=(prepare("faq", columns),))
    suites = {"faq": RetrievalSuite(source=FilesSource(paths=("rows.tsv",)), bm25=False)}
    config = EvaluationConfig(suites=suites, resamples=0)
    (base,) = evaluate_models(
        [ModelUnderTest("base", small_model, "digest")], config, data, tmp_path / "run", prompts={}
    )
    assert base.suites["faq"].reference is None and not (tmp_path / "run" / "bm25").exists()
