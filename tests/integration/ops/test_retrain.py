"""What makes the nightly look train, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from stsflow.flows.retrain import Seen, look_at_sources, variable_name
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig

HEADER = "sentence1\tsentence2\tscore\n"


@pytest.fixture
def recipe(tmp_path: Path) -> RunConfig:
    for name in ("train", "test"):
        (tmp_path / f"{name}.tsv").write_text(HEADER + "a\tb\t1.0\n", encoding="utf-8")
    source = {"kind": "files", "paths": ["train.tsv"]}
    suite = {"kind": "sts", "split": "test", "source": source | {"paths": ["test.tsv"]}}
    return RunConfig.model_validate(
        {
            "name": "night",
            "data": {"root": str(tmp_path), "train": {"pairs": {"source": source, "shape": {"kind": "scored_pairs"}}}},
            "model": {"source": {"kind": "directory", "path": str(tmp_path)}},
            "evaluation": {"suites": {"held-out": suite}},
        }
    )


def test_changes_are_named() -> None:
    before = Seen(recipe="r", sources={"a": "1", "b": "1"})
    assert before.reasons_against(before) == []
    assert before.reasons_against(None) == ["there is no earlier training of this recipe on record"]
    after = Seen(recipe="s", sources={"a": "2", "c": "1"})
    assert after.reasons_against(before) == ["the recipe changed", "a changed", "c is new", "b is gone"]


@pytest.mark.usefixtures("workspace")
def test_a_changed_file_is_seen_and_an_equal_one_is_not(recipe: RunConfig, tmp_path: Path) -> None:
    before = look_at_sources.fn(recipe)
    (tmp_path / "train.tsv").touch()
    assert look_at_sources.fn(recipe) == before
    (tmp_path / "train.tsv").write_text(HEADER + "a\tb\t2.0\n", encoding="utf-8")
    assert look_at_sources.fn(recipe).reasons_against(before) == ["training set pairs changed"]


def test_looking_downloads_nothing(recipe: RunConfig, workspace: Workspace) -> None:
    look_at_sources.fn(recipe)
    assert not workspace.downloads.exists()


def test_variable_names_are_legal() -> None:
    assert variable_name("gte-multilingual.v2") == "stsflow_seen_gte_multilingual_v2"
