"""YAML that is broken, endless or tricky is refused with one sentence and its place, in bounded time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.yaml_text import DEEPEST, MOST_VALUES, load_yaml
from stsflow.tasks.recipe.sections import RunConfig

ALIASES = "a0: &a0 [x, x]\n" + "\n".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 12)
)

BAD = {
    "brackets 100,000 deep": ("[" * 100_000, f"nested more than {DEEPEST} deep"),
    "mappings 100,000 deep": ("{a: " * 100_000, f"nested more than {DEEPEST} deep"),
    "lists 100,000 deep": ("- " * 100_000, f"nested more than {DEEPEST} deep"),
    "a tag": ("!!int abc", "a tag (tag:yaml.org,2002:int) is not read here"),
    "a tag of Python": ("!!python/object/apply:os.system [id]", "a tag (tag:yaml.org,2002:python/object/apply"),
    "aliases that stand for millions": (ALIASES, f"more than {MOST_VALUES:,} values, with its aliases written out"),
    "an alias inside itself": ("&a [*a]", "is itself a part of"),
    "too many values": ("[" + "1," * (MOST_VALUES + 1) + "]", f"more than {MOST_VALUES:,} values"),
    "a number of 5,000 digits": ("9" * 5_000, "Exceeds the limit"),
    "a list as a key": ("? [1, 2]\n: 3", "unhashable key"),
    "a merge": ("a: &a {b: 1}\nc: {<<: *a, d: 2}", "a merge key (`<<`) is not read here; write the keys out"),
    "two documents": ("a: 1\n---\nb: 2", "but found another document"),
    "a key twice": ("a: 1\na: 2", "the key 'a' occurs twice"),
    "no end": ("a: [1, 2", "expected ',' or ']'"),
    "a control character": ("a: \x01", "special characters are not allowed"),
    "too large": ("a" * (2**20 + 1), "1,048,577 characters"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_text_is_a_yaml_error_with_its_reason(case: str) -> None:
    text, words = BAD[case]
    with pytest.raises(yaml.YAMLError) as caught:
        load_yaml(text)
    assert words in str(getattr(caught.value, "problem", None) or caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-8", 1e-8), ("5E+2", 500.0), ("2.5e3", 2500.0), ("off", "off"), ("True", True), ("", None), ("'1e3'", "1e3")],
)
def test_words_stay_words_and_numbers_are_numbers(text: str, value: object) -> None:
    found = load_yaml(text)
    assert found == value and type(found) is type(value)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("abc019e.-+:,?&*!|>%@`'\"#[]{}<~=\n\t \x85\u2028\ufeff"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError):
        load_yaml(text)


def test_a_recipe_that_is_a_pipe_a_folder_or_huge_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with (tmp_path / "huge.yaml").open("wb") as huge:
        huge.truncate(2**40)
    for name, words in (("pipe", "is not a file"), ("folder", "is not a file"), ("huge", "at most 1,048,576")):
        with pytest.raises(RecipeError, match=words):
            RunConfig.from_recipe(tmp_path / f"{name}.yaml")


@pytest.mark.parametrize("key", ["training.seed", "data.train.nli.limit", "name"])
@pytest.mark.parametrize("case", BAD)
def test_an_override_is_read_as_carefully(tmp_path: Path, case: str, key: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\n", "utf-8")
    with pytest.raises(RecipeError) as caught:
        RunConfig.from_recipe(path, (f"{key}={BAD[case][0]}",))
    assert caught.value.message.startswith(f"--set {key}=") and len(caught.value.message) < 400


@pytest.mark.parametrize(
    "override",
    ["a." * 5_000 + "b=1", 'data.root="a\\0b"', "data.root=~nobody-of-this-name/x", f"data.root={'a' * 5_000}"],
)
def test_a_key_or_path_that_cannot_be_is_one_sentence(tmp_path: Path, override: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\n", "utf-8")
    with pytest.raises(RecipeError) as caught:
        RunConfig.from_recipe(path, (override,))
    assert len(caught.value.message) < 500
