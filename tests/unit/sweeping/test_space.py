"""A search space is known to fit its recipe before anything is trained; what does not fit is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_recipe import write_small_recipe

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.sweeping.settings import SweepConfig
from stsflow.tasks.sweeping.space import read_space


@pytest.fixture
def recipe(tmp_path: Path) -> RunConfig:
    return RunConfig.from_recipe(write_small_recipe(tmp_path / "small.yaml", tmp_path / "model"))


def written(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text, "utf-8")
    return path


def test_numbers_get_the_type_of_the_recipes_field(tmp_path: Path, recipe: RunConfig) -> None:
    space = read_space(
        written(
            tmp_path,
            "training.weight_decay: {low: 0, high: 1}\n"
            "training.batch_size: {low: 4, high: 1.6e1, step: 4}\n"
            "training.arguments.adam_beta2: {low: 0.9, high: 0.999}\n"
            "training.max_steps: {low: 10, high: 1000, log: true}\n",
        ),
        recipe,
    )
    found = {key: (type(one.low), one.low, one.high) for key, one in space.fields.items()}  # type: ignore[union-attr]  # all are ranges
    assert found == {
        "training.weight_decay": (float, 0.0, 1.0), "training.batch_size": (int, 4, 16),
        "training.arguments.adam_beta2": (float, 0.9, 0.999), "training.max_steps": (int, 10, 1000),
    }  # fmt: skip


def test_a_choice_may_be_any_value_and_its_paths_start_from_the_spaces_folder(
    tmp_path: Path, recipe: RunConfig
) -> None:
    (tmp_path / "spaces").mkdir()
    path = written(
        tmp_path / "spaces",
        "training.losses.sts: {choices: [{kind: cosent}, {kind: cosine_similarity}]}\n"
        "model.source.path: {choices: [../first, /somewhere/second]}\n",
    )
    space = read_space(path, recipe)
    places = space.fields["model.source.path"].ends.values()
    assert list(places) == [str(tmp_path / "first"), "/somewhere/second"]
    drawn = {"training.losses.sts": json.dumps({"kind": "cosent"}), "model.source.path": "/somewhere/second"}
    assert space.settings(drawn) == {
        "training.losses.sts": {"kind": "cosent"}, "model.source.path": "/somewhere/second",
    }  # fmt: skip


def test_a_sweep_is_read_back_as_it_was_written(tmp_path: Path, recipe: RunConfig) -> None:
    text = "training.learning_rate: {low: 1e-5, high: 1, log: true}\ntraining.batch_size: {choices: [4, 8]}\n"
    config = SweepConfig(space=read_space(written(tmp_path, text), recipe), trials=3)
    assert SweepConfig.model_validate_json(config.model_dump_json()) == config


REFUSED = {
    "no such field": (
        "\ntraining.learning_rat: {low: 1e-5, high: 1e-3}",
        ", line 2: training.learning_rat, low: training.learning_rat: unknown key (did you mean 'learning_rate'?)",
    ),
    "an end beyond the field": (
        "training.learning_rate: {low: 1e-5, high: 100}",
        "line 1: training.learning_rate, high: training.learning_rate: found 100.0; input should be less than or equal",
    ),
    "a choice of another type": (
        "training.batch_size: {choices: [8, many]}",
        "line 1: training.batch_size, choices[1]: training.batch_size: found 'many'; input should be a valid integer",
    ),
    "a loss that does not fit the set": (
        "training.losses.nli: {choices: [{kind: multiple_negatives_ranking}, {kind: cosine_similarity}]}",
        "training.losses.nli, choices[1]: training.losses.nli: the loss 'cosine_similarity' cannot learn from",
    ),
    "low above high": (
        "training.warmup: {low: 0.2, high: 0.1}",
        "training.warmup: low (0.2) must be below high (0.1)",
    ),
    "a logarithm of nothing": ("training.warmup: {low: 0, high: 0.1, log: true}", "log: true needs a low above 0"),
    "a step and a logarithm": ("training.warmup: {low: 0.1, high: 0.2, log: true, step: 0.1}", "step must lie above 0"),
    "half a row": ("training.batch_size: {low: 4, high: 8.5}", "high is 8.5; the field takes whole numbers alone"),
    "an unknown word": ("training.warmup: {low: 0, high: 0.1, logs: true}", "logs: unknown key (did you mean 'log'?)"),
    "neither range nor choices": ("training.warmup: 0.1", "found 0.1; write {low: ..., high: ...}"),
    "one choice": ("training.warmup: {choices: [0.1]}", "should have at least 2 items"),
    "a choice twice": ("training.warmup: {choices: [0.1, 0.1]}", "a choice stands there twice"),
    "a suite": ("evaluation.seed: {low: 0, high: 9}", "a sweep tries what the weights are made of"),
    "a key inside another": (
        "training.losses.sts: {choices: [{kind: cosent}, {kind: angle}]}\ntraining.losses.sts.scale: {low: 1, high: 2}",
        "line 2: training.losses.sts.scale lies inside training.losses.sts",
    ),
    "no key": ("lr: {low: 1, high: 2}", "found the key 'lr'; write a dotted key"),
    "nothing": ("{}", "the search space is empty"),
    "a list": ("- 1", "a search space is a mapping of dotted keys of the recipe"),
    "no YAML": ("a: [", "line 2, column 1: not valid YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_line_and_field(tmp_path: Path, recipe: RunConfig, case: str) -> None:
    text, words = REFUSED[case]
    with pytest.raises(RecipeError) as caught:
        read_space(written(tmp_path, f"{text}\n"), recipe)
    assert caught.value.exit_code == 2
    assert words in caught.value.message and caught.value.message.startswith(str(tmp_path / "space.yaml"))
