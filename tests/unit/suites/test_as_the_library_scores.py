"""Every suite gives what sentence-transformers' own evaluators give, whatever prompts and similarity the model has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import SENTENCES
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    TripletEvaluator,
)

from stsflow.tasks.evaluation.worker import EvaluationSpec, ModelSpec, evaluate
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.evaluation import SuiteScores
from stsflow.tasks.records.prompts import SuitePrompts
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import RetrievalSuite, StsSuite, Suite, TripletSuite

SOURCE = FilesSource(paths=("rows.tsv",))
SIMILARITIES = ("cosine", "manhattan", "euclidean", "dot")
Prepare = Callable[..., PreparedSet]
Score = Callable[..., SuiteScores]

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "default prompt": {"prompts": {"instruction": "한 남자가 책을 읽는다: "}, "default_prompt_name": "instruction"},
    "prompt left out of the pooling": {
        "prompts": {"instruction": "A woman reads a book: "}, "default_prompt_name": "instruction",
        "include_prompt": False,
    },
    "query and document prompts": {
        "prompts": {"query": "the train: ", "document": "the market: ", "instruction": "lunch: "},
        "default_prompt_name": "instruction",
    },
    "passage prompt": {"prompts": {"passage": "the market: ", "query": "the train: "}},
    "dot product": {"similarity_fn_name": "dot"},
    "euclidean": {"similarity_fn_name": "euclidean", "prompts": {"query": "the train: "}},
    "cut embeddings": {"truncate_dim": 8},
}  # fmt: skip


@pytest.fixture(params=MODELS, ids=lambda name: name.replace(" ", "-"))
def model(request: pytest.FixtureRequest, small_model: Path, tmp_path: Path) -> Path:
    """The small model with prompts and similarity of its own."""
    folder = tmp_path / "model"
    shutil.copytree(small_model, folder)
    settings = dict(MODELS[request.param])
    if "include_prompt" in settings:
        pooling = folder / "1_Pooling" / "config.json"
        said = json.loads(pooling.read_text(encoding="utf-8"))
        pooling.write_text(json.dumps(said | {"include_prompt": settings.pop("include_prompt")}), encoding="utf-8")
    file = folder / "config_sentence_transformers.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    settings["prompts"] = said["prompts"] | settings.get("prompts", {})
    file.write_text(json.dumps(said | settings), encoding="utf-8")
    return folder


@pytest.fixture
def score(tmp_path: Path, model: Path, prepare: Prepare) -> Score:
    """Function that scores the model on one suite over some columns."""

    def run(suite: Suite, columns: dict[str, list[Any]], names: SuitePrompts | None = None) -> SuiteScores:
        folder = tmp_path / "scores"
        folder.mkdir()
        spec = ModelSpec(name="base", path=model, digest="model", folder=folder)
        config = EvaluationConfig(suites={"suite": suite}, resamples=0)
        prompts, data = {"suite": names or SuitePrompts()}, (prepare("suite", columns),)
        report = evaluate(EvaluationSpec(models=(spec,), config=config, data=data, prompts=prompts), spec)
        return report.suites["suite"]

    return run


@pytest.fixture
def library(model: Path) -> SentenceTransformer:
    """The same model, as the library loads it; where it names no default, texts that are alike are read as queries."""
    found = SentenceTransformer(str(model), device="cpu")
    if found.default_prompt_name is None and found.prompts["query"]:
        found.default_prompt_name = "query"
    return found


def test_sts(score: Score, library: SentenceTransformer, pair_columns: dict[str, list[Any]]) -> None:
    evaluator = EmbeddingSimilarityEvaluator(
        pair_columns["sentence1"], pair_columns["sentence2"], pair_columns["score"],
        similarity_fn_names=list(SIMILARITIES), write_csv=False,
    )  # fmt: skip
    assert score(StsSuite(source=SOURCE), pair_columns).metrics == pytest.approx(evaluator(library), abs=5e-4)


def test_triplets(score: Score, library: SentenceTransformer) -> None:
    texts = list(SENTENCES)
    columns = {"anchor": texts, "positive": texts[1:] + texts[:1], "negative": texts[5:] + texts[:5]}
    evaluator = TripletEvaluator(
        texts, columns["positive"], columns["negative"], similarity_fn_names=list(SIMILARITIES), write_csv=False
    )
    expected = evaluator(library)
    found = score(TripletSuite(source=SOURCE), columns).metrics
    assert found == pytest.approx({f"accuracy_{name}": expected[f"{name}_accuracy"] for name in SIMILARITIES})


@pytest.mark.parametrize("names", [{}, {"query": "document", "document": "query"}, {"query": "", "document": ""}])
def test_retrieval(names: dict[str, str], score: Score, library: SentenceTransformer) -> None:
    queries, corpus = list(SENTENCES[:6]), list(SENTENCES[6:])
    relevant = {number: {(3 * number) % len(corpus)} for number in range(len(queries))}
    judged = [(q, c, 1.0 if c in relevant[q] else 0.0) for q in relevant for c in range(len(corpus))]
    columns: dict[str, list[Any]] = {
        "sentence1": [queries[q] for q, _, _ in judged],
        "sentence2": [corpus[c] for _, c, _ in judged],
        "score": [relevance for _, _, relevance in judged],
    }
    evaluator = InformationRetrievalEvaluator(
        dict(enumerate(queries)), dict(enumerate(corpus)), relevant, write_csv=False,
        query_prompt=None if not names else library.prompts.get(names["query"], ""),
        corpus_prompt=None if not names else library.prompts.get(names["document"], ""),
        precision_recall_at_k=[1, 10, 100],
    )  # fmt: skip
    expected, name = evaluator(library), library.similarity_fn_name
    found = score(RetrievalSuite(source=SOURCE), columns, SuitePrompts(**names)).metrics
    assert found == pytest.approx({metric: expected[f"{name}_{metric.replace('_at_', '@')}"] for metric in found})


def test_the_prompts_of_these_models_matter(library: SentenceTransformer) -> None:
    texts = list(SENTENCES)
    bare = library.encode(texts, prompt="")
    differ = any(
        not np.allclose(bare, encode(texts), atol=1e-3)
        for encode in (library.encode, library.encode_query, library.encode_document)
    )
    assert differ == any(library.prompts.values())
