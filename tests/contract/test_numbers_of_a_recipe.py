"""Every number that a recipe can state has a lowest and a highest value, both finite; nothing else is a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stsflow.tasks.ground.schema import Section
from stsflow.tasks.recipe.sections import RunConfig


def numbers(schema: dict[str, Any], where: str, definitions: dict[str, Any], seen: set[str]) -> Iterator[Any]:
    """Every number in a JSON Schema with its place, each definition once."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from numbers(definitions[name], name, definitions, seen)
        return
    if schema.get("type") in ("integer", "number"):
        yield where, schema
    for field, inside in schema.get("properties", {}).items():
        yield from numbers(inside, f"{where}.{field}", definitions, seen)
    parts = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("prefixItems", ())]
    parts += schema.get("patternProperties", {}).values()
    parts += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for part in parts:
        yield from numbers(part, where, definitions, seen)


def all_numbers() -> list[Any]:
    schema = RunConfig.model_json_schema()
    return sorted(dict(numbers(schema, "RunConfig", schema["$defs"], set())).items())


NUMBERS = all_numbers()


def test_the_walk_reaches_the_members_of_every_union() -> None:
    places = {where for where, _ in NUMBERS}
    assert {
        "TrainingConfig.epochs", "TrainingConfig.batch_sizes", "Matryoshka.weights", "TripletMargin.margin",
        "ScoredPairs.score_range", "MatryoshkaSuite.dimensions", "MaximumLatency.milliseconds", "SyntheticSource.rows",
    } <= places  # fmt: skip


@pytest.mark.parametrize(("where", "schema"), NUMBERS, ids=[where for where, _ in NUMBERS])
def test_a_number_states_its_lowest_and_highest_value(where: str, schema: dict[str, Any]) -> None:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    assert low is not None and high is not None, f"{where} has no bounds: {schema}"
    assert math.isfinite(low) and math.isfinite(high) and low < high


class Example(Section):
    count: int | None = None
    share: float = 0.5
    sizes: dict[str, int] = {}
    pair: tuple[float, float] = (0.0, 1.0)
    switch: bool | int = False


@pytest.mark.parametrize(
    "values",
    [
        {"count": True}, {"share": False}, {"sizes": {"a": True}}, {"pair": [True, 2]},
        {"share": math.inf}, {"share": math.nan}, {"pair": [0, math.inf]}, {"pair": [-math.inf, 1]},
        {"share": "inf"}, {"share": "nan"},
    ],
)  # fmt: skip
def test_booleans_infinities_and_what_is_no_number_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Example).validate_python(values)


def test_a_switch_may_be_true() -> None:
    assert Example(switch=True).switch is True
