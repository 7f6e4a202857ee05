"""Whatever stands in a recipe, it is read or refused with sentences of bounded length: never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stsflow.tasks.ground.errors import Refused
from stsflow.tasks.recipe.sections import RunConfig

FILE = {"kind": "files", "paths": ["rows.tsv"]}
WHOLE = {
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


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*path, key))


PLACES = [path for path in places(WHOLE) if path]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**4_000)
    | st.sampled_from(["", "..", "/", "a\x00", "~nobody-here", "*", "sts", "files", "1e999", "x" * 30_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def with_value(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(WHOLE)
    target: Any = changed
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return changed


def read(values: Any, path: Path) -> None:
    path.write_text(json.dumps(values).replace("Infinity", ".inf").replace("NaN", ".nan"), "utf-8")
    try:
        RunConfig.from_recipe(path)
    except Refused as refusal:
        assert refusal.exit_code == 2 and len(refusal.message) < 15_000


def test_the_recipe_itself_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(WHOLE), "utf-8")
    assert RunConfig.from_recipe(path).name == "whole"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), VALUES)
@example(("data", "root"), "a\x00")
@example(("training", "max_steps"), 10**4_000)
@example(("training",), {1: 2})
def test_any_value_in_any_place_is_read_or_refused(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    read(with_value(place, value), tmp_path / "recipe.yaml")


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_in_any_place_is_read_or_refused_many_times(
    tmp_path: Path, place: tuple[Any, ...], value: Any
) -> None:
    read(with_value(place, value), tmp_path / "recipe.yaml")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_recipe(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(Refused):
        RunConfig.from_recipe(path)
