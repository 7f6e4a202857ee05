"""Whatever stands in a recipe, it is read or refused with sentences of bounded length: never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from strange_files import Reader, try_strange_files

from stsflow.tasks.ground.errors import Refused
from stsflow.tasks.recipe.sections import RunConfig

FILE = {"kind": "files", "paths": ["rows.tsv"]}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "model": {"source": {"kind": "directory", "path": "base"}},
    "data": {
        "root": "rows",
        "train": {
            "nli": {"source": {"kind": "synthetic", "task": "nli", "split": "train"}, "shape": {"kind": "triplets"}},
            "sts": {"source": FILE, "shape": {"kind": "scored_pairs", "score_range": [0, 5]}},
        },
        "leakage": {"near_duplicates": "report"},
    },
    "training": {
        "losses": {"nli": {"kind": "matryoshka", "loss": {"kind": "triplet"}, "dimensions": [8, 4]}},
        "batch_sizes": {"sts": 4}, "arguments": {"adam_beta1": 0.8}, "max_steps": 10,
    },
    "evaluation": {
        "suites": {
            "dev": {"kind": "sts", "split": "dev", "source": FILE},
            "faq": {"kind": "retrieval", "source": FILE},
            "board": {"kind": "mteb", "task": "KorSTS"},
        },
        "choose_on": "dev",
    },
    "release": {"register_as": "m", "rules": [{"kind": "beats_base", "suite": "faq"}]},
    "tracking": {"tags": {"a": "b"}},
}  # fmt: skip


def refused(folder: Path) -> object:
    """What reading gives; a refusal is of bounded length. JSON writes what is no number in words of its own."""
    path = folder / "recipe.yaml"
    path.write_bytes(path.read_bytes().replace(b"Infinity", b".inf").replace(b"NaN", b".nan"))
    try:
        return RunConfig.from_recipe(path)
    except Refused as refusal:
        assert refusal.exit_code == 2 and len(refusal.message) < 15_000
        raise


ANY = Reader({"recipe.yaml": json.dumps(WHOLE).encode()}, refused)


def test_the_recipe_itself_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(WHOLE), "utf-8")
    assert RunConfig.from_recipe(path).name == "whole"


def test_any_recipe_is_read_or_refused(tmp_path: Path) -> None:
    try_strange_files(ANY, tmp_path / "here", cases=300)


@pytest.mark.slow
def test_any_recipe_is_read_or_refused_many_times(tmp_path: Path) -> None:
    try_strange_files(ANY, tmp_path / "here", cases=3_000)


@pytest.mark.parametrize(
    "changed",
    [
        WHOLE | {"data": WHOLE["data"] | {"root": "a\x00"}},
        WHOLE | {"training": WHOLE["training"] | {"max_steps": 10**4_000}},
        WHOLE | {"training": {1: 2}},
    ],
)
def test_what_troubled_the_reader_of_recipes_once_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(changed), "utf-8")
    with pytest.raises(Refused):
        refused(tmp_path)
