"""Prompts that do not fit are found: not the base's, with their cost, and an evaluation's that the training lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

from stsflow.tasks.evaluation.prompts_compared import prompt_findings
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.findings import Finding

SOURCE = {"kind": "files", "paths": ["x.tsv"]}
OWN = {"query": "A woman plays the piano: ", "document": "the road "}
Find = Callable[..., tuple[Finding, ...]]


@pytest.fixture
def prompted(small_model: Path, tmp_path: Path) -> Path:
    """The small model with prompts of its own."""
    folder = tmp_path / "prompted"
    shutil.copytree(small_model, folder)
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": OWN}), encoding="utf-8")
    return folder


@pytest.fixture
def find(prepare: Callable[..., PreparedSet], pair_columns: dict[str, list[Any]], tmp_path: Path) -> Find:
    """The findings about a recipe with `prompts` over the base in a folder."""

    def run(model: Path, *, search: bool = False, **prompts: Any) -> tuple[Finding, ...]:
        suites: dict[str, Any] = {"dev": {"kind": "sts", "source": SOURCE, "split": "dev"}}
        if search:
            suites["search"] = {"kind": "retrieval", "source": SOURCE}
        recipe = RunConfig.model_validate(
            {
                "name": "toy",
                "data": {"train": {"pairs": {"source": SOURCE, "shape": {"kind": "scored_pairs"}}}},
                "model": {"source": {"kind": "directory", "path": str(model)}},
                "training": {"device": "cpu"},
                "prompts": prompts,
                "evaluation": {"suites": suites, "resamples": 0},
            }
        )
        workspace = Workspace(tmp_path / "workspace")
        base = fetch_base_model(recipe.model, workspace, recipe.prompts)
        data = PreparedData(fingerprint="", train=(), evaluation=(prepare("dev", pair_columns),))
        return prompt_findings(recipe, base, data, workspace)

    return run


def test_a_recipe_without_the_bases_prompts_is_told_what_they_are_worth(
    find: Find, prompted: Path, pair_columns: dict[str, list[Any]]
) -> None:
    (found,) = find(prompted, query="", document="")
    model = SentenceTransformer(str(prompted), device="cpu")
    columns = (pair_columns["sentence1"], pair_columns["sentence2"], pair_columns["score"])
    bare = EmbeddingSimilarityEvaluator(*columns, write_csv=False)(model)["spearman_cosine"]
    model.default_prompt_name = "query"
    own = EmbeddingSimilarityEvaluator(*columns, write_csv=False)(model)["spearman_cosine"]
    assert abs(own - bare) > 1e-3
    assert (found.severity, found.code, found.subject) == ("warning", "prompts.not_the_bases", "prompts")
    assert found.numbers == {
        "dev/spearman_cosine_as_the_recipe": pytest.approx(bare, abs=1e-4),
        "dev/spearman_cosine_with_own_prompts": pytest.approx(own, abs=1e-4),
    }
    assert (
        'prompted was trained with prompts (query "A woman plays the piano: ", document "the road ")' in found.message
    )
    assert "data.train.pairs, evaluation.suites.dev have no prompt in their place" in found.message
    assert f"{bare:.4f} as the recipe has it and {own:.4f} with its own prompts" in found.message
    assert f"{abs(own - bare):.4f}." in found.message
    assert 'Set prompts: {query: "A woman plays the piano: ", document: "the road "}' in found.remedy


def test_an_evaluation_behind_another_prompt_than_the_trainings_is_reported(find: Find, small_model: Path) -> None:
    (found,) = find(small_model, query="Q: ", named={"other": "lunch: "}, suites={"dev": {"query": "other"}})
    assert (found.severity, found.code, found.subject) == ("warning", "prompts.evaluated_otherwise", "dev")
    assert 'dev is read behind "lunch: ", and the model is trained behind "Q: "' in found.message
    assert "prompts.suites" in found.remedy


def test_a_training_behind_another_prompt_is_reported_on_either_side(find: Find, small_model: Path) -> None:
    (found,) = find(small_model, query="Q: ", columns={"pairs": {"sentence1": "", "sentence2": ""}})
    assert found.code == "prompts.evaluated_otherwise"
    assert 'dev is read behind "Q: ", and the model is trained behind no prompt' in found.message


def test_where_everything_keeps_to_the_models_own_nothing_is_found(
    find: Find, prompted: Path, small_model: Path
) -> None:
    assert find(prompted) == find(prompted, search=True) == ()
    assert find(small_model) == find(small_model, query="Q: ") == ()


def test_a_family_that_is_known_for_its_prompts_is_told_by_its_name(
    find: Find, small_model: Path, tmp_path: Path
) -> None:
    known = tmp_path / "multilingual-e5-small"
    shutil.copytree(small_model, known)
    assert find(known, query="query: ", document="passage: ") == ()
    (found,) = find(known, named={"other": "x "}, columns={"pairs": {"sentence1": "other"}}, query="query: ")
    assert 'multilingual-e5-small was trained with prompts (query "query: ", document "passage: ")' in found.message
    assert 'data.train.pairs have "x " in their place' in found.message
    assert "What that costs is not measured: dev itself is read behind the model's own" in found.message
