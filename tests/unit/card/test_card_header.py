"""The YAML header as the Hugging Face hub's own client reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from card_metadata import faults_of_card
from hub_with_accounts import HubWithAccounts
from huggingface_hub import ModelCard, ModelCardData, metadata_load

from stsflow.tasks.card.render import render_card
from stsflow.tasks.recipe.sections import ReleaseConfig


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


def test_the_hub_accepts_the_card(records: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with HubWithAccounts() as hub:
        hub.become_the_hub(monkeypatch, tmp_path / "cache")
        ModelCard(render_card(records.content()), ignore_metadata_errors=False).validate()
        with pytest.raises(ValueError, match=r'"base_model\[0\]" with value "my base" is not valid'):
            ModelCard("---\nbase_model: my base\n---\n").validate()


def test_names_that_the_hub_does_not_know_stay_out_of_the_header(records: Any) -> None:
    card = records.recipe.card.model_copy(update={"license": "LicenseRef-Acme 1.0", "language": ("ko", "zh-Hans")})
    base = records.base.model_copy(update={"name": "my base", "kind": "directory"})
    content = records.but(recipe=records.recipe.model_copy(update={"card": card}), base=base).content()
    found = content.header
    assert "base_model" not in found and "base_model_relation" not in found
    assert (found["language"], found["language_bcp47"]) == (["ko", "zh"], ["ko", "zh-Hans"])
    assert (found["license"], found["license_name"]) == ("other", "licenseref-acme-1.0")
    assert faults_of_card(render_card(content)) == []


def test_the_cards_code_loads_what_is_pushed(records: Any) -> None:
    card = records.recipe.card.model_copy(update={"model_id": ""})
    push = {"register_as": "small", "rules": [{"kind": "beats_base"}], "push": {"repo": "acme/small"}}
    release = ReleaseConfig.model_validate(push)
    recipe = records.recipe.model_copy(update={"card": card, "release": release})
    assert 'SentenceTransformer("acme/small")' in render_card(records.but(recipe=recipe).content())
