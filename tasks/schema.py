"""The two pydantic bases of the project.

A *section* is a part of a recipe that a person wrote. A *record* is something a stage measured or made, handed on to
the next stage and kept as JSON. Both are frozen and refuse unknown fields: a typing mistake in a recipe, or a record
written by another version, is an error and never a silent default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=64)]
"""A name that may stand in a path, an MLflow metric and a Prefect key: lower case, digits, single `_` or `-`."""


LARGEST_SEED = 2**32 - 1
"""The largest that every generator of random numbers (Python, numpy, torch) takes."""
MOST_ROWS = 2**31 - 1
"""Rows of a data set that can be numbered."""
Dimension = Annotated[int, Field(ge=1, le=2**20)]
"""Numbers of an embedding."""


class Section(BaseModel):
    """A part of a recipe. Field docstrings become the descriptions of the JSON Schema and of the Prefect form.

    A number is finite, and `true` is none. Every number of a section states its lowest and its highest value.
    """

    # Prefect logs a recipe that does not fit as pydantic words it: without what was found, which may be an address.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """Pydantic reads true as 1; a person who wrote it meant another field."""
        faults = [
            InitErrorDetails(type=_NO_NUMBER, loc=(name,), input=values[name])
            for name, field in cls.model_fields.items()
            if isinstance(values, dict) and _has_boolean(values.get(name)) and _holds_numbers_only(field.annotation)
        ]
        if faults:  # a field validator would not do: pydantic allows none on the field that tells kinds apart
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return values


class Record(BaseModel):
    """What a stage hands on: small, JSON-safe, frozen. Paths and counts, never rows or weights."""

    # A metric that is not defined (a model that collapsed) is NaN; by default it would be written as null and not load.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        ser_json_inf_nan="constants",
    )

    def write(self, path: Path) -> Path:
        """Write the record as JSON under `path`, all or nothing (a temporary file, then a rename); return `path`."""
        from tasks.files import write_text_atomically

        return write_text_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """The record that `write` left at `path`; raises `pydantic.ValidationError` if it is not one."""
        return cls.model_validate_json(path.read_bytes())


_NO_NUMBER = PydanticCustomError("no_number", "a number is wanted here, not true or false")


def _holds_numbers_only(annotation: Any) -> bool:
    leaves = _leaf_types(annotation)
    return bool({int, float} & leaves) and bool not in leaves


def _leaf_types(annotation: Any) -> set[Any]:
    """The types inside a union, a tuple or a mapping, through Annotated."""
    inside = get_args(annotation)
    return {leaf for part in inside for leaf in _leaf_types(part)} if inside else {annotation}


def _has_boolean(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_boolean(part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_has_boolean(part) for part in value)
    return isinstance(value, bool)
