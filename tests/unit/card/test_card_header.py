"""The YAML header as the Hugging Face hub's own client reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData, metadata_load

from stsflow.tasks.card.render import render_card


def test_the_hub_client_reads_the_header(records: Any, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(render_card(records.content()), encoding="utf-8")
    found = metadata_load(path)
    assert found is not None
    assert {
        key: found[key] for key in ("license", "language", "library_name", "pipeline_tag", "base_model", "datasets")
    } == {
        "license": "cc-by-sa-4.0",
        "language": ["ko"],
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "datasets": ["kor/sts"],
    }
    assert found["tags"] == [
        "sentence-transformers", "sentence-similarity", "feature-extraction", "generated_from_trainer",
        "dataset_size:10747", "loss:MultipleNegativesRankingLoss", "loss:CosineSimilarityLoss",
    ]  # fmt: skip
    assert found["metrics"][:2] == ["pearson_cosine", "spearman_cosine"]
    assert len(found["metrics"]) == 10


def test_the_model_index_makes_the_round_trip(records: Any) -> None:
    card = ModelCard(render_card(records.content()), ignore_metadata_errors=False)
    results = {(item.dataset_type, item.metric_type): item for item in card.data.eval_results}
    assert len(results) == 20
    best = results["sts-test", "spearman_cosine"]
    assert best.metric_value == pytest.approx(0.7654)
    assert (best.task_type, best.dataset_split, best.dataset_name) == ("semantic-similarity", "test", "KorSTS test")
    again = ModelCardData(model_name=card.data.model_name, eval_results=card.data.eval_results)
    assert len(again.to_dict()["model-index"][0]["results"]) == 2


def test_an_undefined_score_is_not_in_the_model_index(records: Any) -> None:
    suites = {
        name: scores.model_copy(update={"metrics": scores.metrics | {"pearson_dot": float("nan")}})
        for name, scores in records.tuned_scores.suites.items()
    }
    content = records.but(tuned_scores=records.tuned_scores.model_copy(update={"suites": suites})).content()
    card = render_card(content)
    assert "| pearson_dot | 0.6832 | not defined | – | not defined |" in card
    assert len(ModelCard(card).data.eval_results) == 18


def test_an_unstated_licence_becomes_other_with_a_name(records: Any) -> None:
    base = records.base.model_copy(update={"license": ""})
    found = records.but(base=base).content().header
    assert (found["license"], found["license_name"]) == ("other", "see-model-card")
