"""What a sweep tries: fields of a recipe by dotted key, each with a range or choices, read from YAML and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, JsonValue, ValidationError, model_validator

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.schema import Section
from stsflow.tasks.ground.yaml_text import PlainLoader
from stsflow.tasks.recipe.messages import explain, shown, types_at
from stsflow.tasks.recipe.reading import anchor_paths, read_mapping, with_settings
from stsflow.tasks.recipe.sections import RunConfig

TRIED = ("data", "model", "prompts", "mining", "teacher", "training")
"""Sections of which a trial's weights are made. All else must be the same for every trial, or nothing would compare."""
KEY = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){1,8}")
Number = Annotated[int | float, Field(ge=-1e12, le=1e12)]


class Range(Section):
    """All whole numbers from `low` to `high` where both are written as such, else all numbers."""

    low: Number
    """The least value."""
    high: Number
    """The greatest value."""
    log: bool = False
    """Draw by the logarithm: 1e-5 to 1e-4 is then as wide as 1e-4 to 1e-3."""
    step: Number | None = None
    """Only `low`, `low + step`, and so on."""

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> dict[str, JsonValue]:
        """The values to check, by what they are called."""
        return {"low": self.low, "high": self.high}

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise RecipeError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and self.low <= 0:
            raise RecipeError(f"log: true needs a low above 0, found {self.low:g}")
        if self.step is not None and (self.log or not 0 < self.step <= self.high - self.low):
            raise RecipeError("step must lie above 0, be no wider than the range, and does not go with log: true")
        return self


class Choices(Section):
    """One of several values."""

    choices: tuple[JsonValue, ...] = Field(min_length=2, max_length=1_000)
    """Any values that the field takes."""

    @property
    def ends(self) -> dict[str, JsonValue]:
        """The values to check, by what they are called."""
        return {f"choices[{number}]": value for number, value in enumerate(self.choices)}

    @property
    def by_label(self) -> dict[str, JsonValue]:
        """The choices by the texts that stand for them in the storage."""
        return {value if isinstance(value, str) else json.dumps(value, sort_keys=True): value for value in self.choices}

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        if len(self.by_label) != len(self.choices):
            raise RecipeError("a choice stands there twice")
        return self


class SearchSpace(Section):
    """The fields that a sweep tries values of."""

    fields: dict[str, Range | Choices] = Field(min_length=1, max_length=100)
    """By dotted key of the recipe."""

    def settings(self, drawn: Mapping[str, Any]) -> dict[str, JsonValue]:
        """What the recipe gets, from what the storage has of a trial."""
        found: dict[str, JsonValue] = {}
        for key, values in self.fields.items():
            found[key] = values.by_label[drawn[key]] if isinstance(values, Choices) else drawn[key]
        return found


def in_words(value: JsonValue) -> str:
    """A value that was tried, for people."""
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def read_space(path: Path, recipe: RunConfig) -> SearchSpace:
    """The search space in the YAML file `path`, every end and every choice of it tried in the recipe.

    Raises RecipeError naming the file, the line and the field of what is wrong. Relative paths start from its folder.
    """
    values = read_mapping(path, "search space", "dotted keys of the recipe, such as training.learning_rate")
    if not values:
        raise RecipeError(f"{path}: the search space is empty; name at least one field of the recipe")
    lines = _lines_of_keys(path)
    found: dict[str, Range | Choices] = {}
    for key, given in values.items():
        where = f"{path}, line {lines.get(str(key), 1)}"
        _check_key(where, key, values)
        found[key] = _fitting(where, key, _parsed(where, key, given), recipe, path.resolve().parent)
    return SearchSpace(fields=found)


def _lines_of_keys(path: Path) -> dict[str, int]:
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=PlainLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    return {str(key.value): key.start_mark.line + 1 for key, _ in pairs}


def _check_key(where: str, key: object, others: Mapping[Any, Any]) -> None:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise RecipeError(f"{where}: found the key {shown(key)}; write a dotted key, such as training.learning_rate")
    if key.partition(".")[0] not in TRIED:
        raise RecipeError(
            f"{where}: {key}: a sweep tries what the weights are made of ({', '.join(TRIED)}); all else is the same "
            "for every trial, so that their scores compare"
        )
    if outer := next((other for other in others if key.startswith(f"{other}.")), None):
        raise RecipeError(f"{where}: {key} lies inside {outer}, which the space names too; leave one of them out")


def _parsed(where: str, key: str, given: object) -> Range | Choices:
    if not isinstance(given, dict) or ("choices" in given) == bool({"low", "high"} & given.keys()):
        raise RecipeError(
            f"{where}: {key}: found {shown(given)}; write {{low: ..., high: ...}}, with log: true or a step where "
            "wanted, or {choices: [...]}"
        )
    kind = Choices if "choices" in given else Range
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise RecipeError(explain(error, kind, f"{where}: {key}")) from None
    except RecipeError as error:
        raise RecipeError(f"{where}: {key}: {error}") from None


def _fitting(where: str, key: str, given: Range | Choices, recipe: RunConfig, folder: Path) -> Range | Choices:
    """The same in the types of the recipe's field, known to fit it."""
    if isinstance(given, Choices):
        given = Choices(choices=tuple(_anchored(key, value, folder) for value in given.choices))
    else:
        given = _typed(where, key, given)
    for name, value in given.ends.items():
        with_settings(recipe, {key: value}, f"{where}: {key}, {name}")
    return given


def _typed(where: str, key: str, given: Range) -> Range:
    """A range of whole numbers where the field takes nothing else; of any numbers where it takes those."""
    types = types_at(RunConfig, key)
    numbers = {"low": given.low, "high": given.high, "step": given.step}
    if float in types or (int not in types and not given.is_whole):
        return given.model_copy(update={name: one if one is None else float(one) for name, one in numbers.items()})
    if broken := [name for name, one in numbers.items() if one is not None and one != int(one)]:
        raise RecipeError(f"{where}: {key}: {broken[0]} is {numbers[broken[0]]}; the field takes whole numbers alone")
    return given.model_copy(update={name: one if one is None else int(one) for name, one in numbers.items()})


def _anchored(key: str, value: JsonValue, folder: Path) -> JsonValue:
    """The value with the relative paths in it that the recipe's field has, as paths from `folder`."""
    *outer, field = key.split(".")
    values: dict[str, Any] = {}
    inner = values
    for part in outer:
        inner = inner.setdefault(part, {})
    inner[field] = value
    anchor_paths(values, folder)
    anchored: JsonValue = inner[field]
    return anchored
