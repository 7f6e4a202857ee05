"""The prompts of `training.arguments.prompts`: what the trainer puts before the texts of each column.

It takes one prompt for everything, one for each column, one for each training set, or one for each column of each set.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from pydantic import JsonValue

from stsflow.tasks.ground.errors import RecipeError

ARGUMENT = "prompts"
WHERE = f"training.arguments.{ARGUMENT}"


def prompts_of(arguments: Mapping[str, JsonValue], name: str, columns: Collection[str]) -> dict[str, str]:
    """The prompt of each text column of training set `name` that has one, as the trainer finds it."""
    given = _read(arguments.get(ARGUMENT))
    if isinstance(given, Mapping):
        for_set = given.get(name, {} if any(isinstance(value, Mapping) for value in given.values()) else given)
    else:
        for_set = given
    if isinstance(for_set, str):
        return dict.fromkeys(columns, for_set) if for_set else {}
    chosen = for_set if isinstance(for_set, Mapping) else {}
    return {column: str(chosen[column]) for column in columns if chosen.get(column)}


def check_prompts(arguments: Mapping[str, JsonValue], sets: Mapping[str, Collection[str]]) -> None:
    """Raise RecipeError for a prompt that no text of the training `sets` (text columns by name) would get."""
    given = _read(arguments.get(ARGUMENT))
    if given is None or isinstance(given, str):
        return
    if not isinstance(given, Mapping):
        raise RecipeError(f"{WHERE}: found {given!r}; allowed are a text, or texts by column or training set.")
    columns = dict.fromkeys(column for names in sets.values() for column in names)
    by_set, by_column = [name for name in given if name in sets], [name for name in given if name not in sets]
    if by_set and by_column:
        raise RecipeError(
            f"{WHERE}: {by_set[0]} is a training set and {by_column[0]} is none; name sets alone or columns alone."
        )
    for name, value in given.items():
        if name in sets and isinstance(value, Mapping):
            _check_columns(f"{WHERE}.{name}", value, sets[name])
        elif name in sets and not isinstance(value, str):
            raise RecipeError(f"{WHERE}.{name}: found {value!r}; allowed are a text, or texts by column.")
    if by_column:
        _check_columns(WHERE, given, columns, f" or training set (sets: {', '.join(sets)})")


def _check_columns(where: str, given: Mapping[str, JsonValue], columns: Collection[str], or_else: str = "") -> None:
    for name, value in given.items():
        if name not in columns:
            raise RecipeError(
                f"{where}.{name}: there is no text column of this name{or_else}; columns: {', '.join(columns)}."
            )
        if not isinstance(value, str):
            raise RecipeError(f"{where}.{name}: found {value!r}; a prompt is a text.")


def _read(given: JsonValue) -> JsonValue:
    """A text that is JSON stands for what it holds, as in the trainer."""
    if not isinstance(given, str):
        return given
    try:
        held: JsonValue = json.loads(given)
    except (ValueError, RecursionError):
        return given
    return held
