"""Triplets, retrieval and cut dimensions: by hand, and by sentence-transformers' own evaluators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from models import SENTENCES
from pydantic import ValidationError

from stsflow.tasks.evaluation import embedded
from stsflow.tasks.evaluation.worker import EvaluationSpec, evaluate
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.search.dense import nearest
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import MatryoshkaSuite, RetrievalSuite, Suite, TripletSuite

SOURCE = FilesSource(paths=("rows.tsv",))
Prepare = Callable[..., PreparedSet]
Spec = Callable[..., EvaluationSpec]


def test_triplet_accuracy_equals_sentence_transformers_evaluator(
    prepare: Prepare, spec: Spec, small_model: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator

    texts = list(SENTENCES)
    columns = {"anchor": texts, "positive": texts[1:] + texts[:1], "negative": texts[5:] + texts[:5]}
    made = spec({"nli": TripletSuite(source=SOURCE)}, prepare("nli", columns, clean=[0, 1, 2, 3]))
    scores = evaluate(made, made.models[0]).suites["nli"]
    evaluator = TripletEvaluator(
        **{f"{k}s": v for k, v in columns.items()}, main_similarity_function="cosine", write_csv=False
    )
    expected = evaluator(SentenceTransformer(str(small_model), device="cpu"))
    assert scores.metrics["accuracy_cosine"] == pytest.approx(expected["cosine_accuracy"])
    assert 0 < scores.metrics["accuracy_cosine"] < 1
    assert scores.pairs is not None
    rows = np.array(pq.read_table(scores.pairs)["accuracy_cosine"].to_pylist())
    assert scores.clean["accuracy_cosine"] == rows[:4].mean()
    assert scores.intervals["accuracy_cosine"].low <= rows.mean() <= scores.intervals["accuracy_cosine"].high


def test_a_tie_counts_as_wrong(prepare: Prepare, spec: Spec) -> None:
    columns = {"anchor": [SENTENCES[0]], "positive": [SENTENCES[1]], "negative": [SENTENCES[1]]}
    made = spec({"tie": TripletSuite(source=SOURCE)}, prepare("tie", columns))
    assert evaluate(made, made.models[0]).suites["tie"].metrics["accuracy_cosine"] == 0


def test_ranking_is_by_cosine_not_by_length() -> None:
    corpus = np.array([[10.0, 10.0], [0.1, 0.0], [0.0, 0.0]], dtype=np.float32)
    (found,) = nearest(np.array([[1.0, 0.0]], dtype=np.float32), corpus, 3)
    assert found.ids.tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("asked_by", [SENTENCES[0], ""], ids=["judged", "asked by nobody"])
def test_retrieval_equals_sentence_transformers_evaluator(
    prepare: Prepare, spec: Spec, small_model: Path, asked_by: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    queries, corpus = list(SENTENCES[:6]), list(SENTENCES[6:])
    relevant = {query: corpus[(3 * number) % len(corpus)] for number, query in enumerate(queries)}
    columns: dict[str, list[Any]] = {"sentence1": [], "sentence2": [], "score": []}
    for query, passage in [*relevant.items(), *((asked_by, passage) for passage in corpus)]:
        columns["sentence1"].append(query)
        columns["sentence2"].append(passage)
        columns["score"].append(1.0 if relevant.get(query) == passage else 0.0)
    made = spec({"search": RetrievalSuite(source=SOURCE)}, prepare("search", columns))
    scores = evaluate(made, made.models[0]).suites["search"]
    evaluator = InformationRetrievalEvaluator(
        dict(enumerate(queries)), dict(enumerate(corpus)),
        {number: {corpus.index(relevant[query])} for number, query in enumerate(queries)}, write_csv=False,
    )  # fmt: skip
    expected = evaluator(SentenceTransformer(str(small_model), device="cpu"))
    assert scores.rows == 6
    for mine, theirs in (
        ("ndcg_at_10", "cosine_ndcg@10"),
        ("mrr_at_10", "cosine_mrr@10"),
        ("recall_at_1", "cosine_recall@1"),
    ):
        assert scores.metrics[mine] == pytest.approx(expected[theirs]), mine


def test_a_query_is_clean_when_all_of_its_relevant_pairs_are(prepare: Prepare, spec: Spec) -> None:
    first, second, third, *corpus = SENTENCES[:8]
    judged = [(first, 0, 1.0), (first, 1, 1.0), (second, 2, 1.0), (second, 0, 0.0), (third, 3, 1.0), ("", 4, 0.0)]
    columns: dict[str, list[Any]] = {
        "sentence1": [query for query, _, _ in judged], "sentence2": [corpus[number] for _, number, _ in judged],
        "score": [score for _, _, score in judged],
    }  # fmt: skip
    # Shared with training are a relevant pair of the first query and a pair of the second that is not relevant.
    made = spec({"search": RetrievalSuite(source=SOURCE)}, prepare("search", columns, clean=[0, 2, 4, 5]))
    scores = evaluate(made, made.models[0]).suites["search"]
    assert (scores.rows, scores.clean_rows, scores.pairs is None) == (3, 2, False)
    rows = pq.read_table(scores.pairs)
    assert rows["query"].to_pylist() == [first, second, third]
    assert scores.clean == {name: np.mean(rows[name].to_pylist()[1:]) for name in scores.metrics}


def test_depths_name_the_metrics_and_ten_leads(prepare: Prepare, spec: Spec) -> None:
    suite = RetrievalSuite(source=SOURCE, ndcg_at=(5, 10), mrr_at=(), map_at=(3,), recall_at=(), precision_at=(2,))
    assert (suite.metrics, suite.primary) == (("ndcg_at_5", "ndcg_at_10", "map_at_3", "precision_at_2"), "ndcg_at_10")
    assert RetrievalSuite(source=SOURCE, ndcg_at=(5, 3)).primary == "ndcg_at_5"
    assert RetrievalSuite(source=SOURCE).metrics == (
        "ndcg_at_10", "mrr_at_10", "map_at_100", "recall_at_1", "recall_at_10", "recall_at_100",
    )  # fmt: skip
    columns = {"sentence1": [SENTENCES[0]], "sentence2": [SENTENCES[1]], "score": [1.0]}
    made = spec({"search": suite}, prepare("search", columns))
    scores = evaluate(made, made.models[0]).suites["search"]
    assert scores.metrics == {"ndcg_at_5": 1, "ndcg_at_10": 1, "map_at_3": 1, "precision_at_2": 0.5}
    assert set(scores.intervals) == set(suite.metrics)


def test_a_corpus_that_is_embedded_in_blocks_scores_as_in_one(
    prepare: Prepare, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = [f"{text} {other}" for text in SENTENCES for other in SENTENCES[:6]]
    asked = [*corpus[::9], *[""] * len(corpus)]
    relevant = [corpus[0], *corpus[12::9]]  # the first asks for itself; to all others their own text is nearer
    columns = {"sentence1": asked, "sentence2": [*relevant, *corpus], "score": [1.0] * 11 + [0.0] * len(corpus)}
    made = spec({"search": RetrievalSuite(source=SOURCE)}, prepare("search", columns))
    whole = evaluate(made, made.models[0]).suites["search"]
    monkeypatch.setattr(embedded, "TEXTS_OF_A_BLOCK", 7)
    in_blocks = evaluate(made, made.models[0]).suites["search"]
    assert in_blocks.metrics == pytest.approx(whole.metrics, abs=1e-12)
    assert 0 < whole.metrics["ndcg_at_10"] < 1


def test_retrieval_without_a_relevant_passage_says_so(prepare: Prepare, spec: Spec) -> None:
    columns = {"sentence1": [SENTENCES[0]], "sentence2": [SENTENCES[1]], "score": [0.0]}
    made = spec({"search": RetrievalSuite(source=SOURCE)}, prepare("search", columns))
    with pytest.raises(EvaluationFailed, match="the suite search has no query with a relevant passage"):
        evaluate(made, made.models[0])


def test_cut_dimensions_equal_sentence_transformers_truncation(
    prepare: Prepare, spec: Spec, small_model: Path, pair_columns: dict[str, list[Any]]
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    made = spec({"sweep": MatryoshkaSuite(source=SOURCE, dimensions=(8, 32))}, prepare("sweep", pair_columns))
    scores = evaluate(made, made.models[0]).suites["sweep"]
    assert list(scores.metrics) == ["pearson_cosine_32", "spearman_cosine_32", "pearson_cosine_8", "spearman_cosine_8"]
    assert set(scores.intervals) == set(scores.metrics)
    evaluator = EmbeddingSimilarityEvaluator(
        pair_columns["sentence1"], pair_columns["sentence2"], pair_columns["score"],
        main_similarity="cosine", write_csv=False, truncate_dim=8,
    )  # fmt: skip
    expected = evaluator(SentenceTransformer(str(small_model), device="cpu"))
    assert scores.metrics["spearman_cosine_8"] == pytest.approx(expected["spearman_cosine"], abs=1e-4)


def test_size_beyond_the_models_own_is_refused(
    prepare: Prepare, spec: Spec, pair_columns: dict[str, list[Any]]
) -> None:
    made = spec({"sweep": MatryoshkaSuite(source=SOURCE, dimensions=(64,))}, prepare("sweep", pair_columns))
    with pytest.raises(EvaluationFailed, match=r"sweep\.dimensions: found 64; embeddings of base have 32 numbers"):
        evaluate(made, made.models[0])


def test_suites_are_told_apart_by_kind_and_refuse_each_others_fields() -> None:
    source = {"kind": "files", "paths": ["rows.tsv"]}

    def suite(**fields: Any) -> Suite:
        return EvaluationConfig.model_validate({"suites": {"one": {"source": source, **fields}}}).suites["one"]

    assert suite(kind="triplets").metrics[0] == "accuracy_cosine"
    with pytest.raises(ValidationError, match="dimensions"):
        suite(kind="sts", dimensions=[8])
