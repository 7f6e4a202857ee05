"""The two pydantic bases of the project.

A *section* is a part of a recipe that a person wrote. A *record* is something a stage measured or made, handed on to
the next stage and kept as JSON. Both are frozen and refuse unknown fields: a typing mistake in a recipe, or a record
written by another version, is an error and never a silent default.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from stsflow.tasks.ground.errors import DamagedRecord

logger = logging.getLogger(__name__)

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
    def _plain_values(cls, values: Any) -> Any:
        """What every field of every section must be. A field validator would not do: pydantic allows none on `kind`."""
        faults = [
            InitErrorDetails(type=fault, loc=(name,), input=values[name])
            for name, field in cls.model_fields.items()
            if isinstance(values, dict) and name in values
            if (fault := _fault(values[name], leaf_types(field.annotation)))
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return values


class Record(BaseModel):
    """What a stage hands on: small, JSON-safe, frozen. Paths and counts, never rows or weights.

    A number that is not defined (the score of a model that collapsed) is written as "NaN", an infinite one as
    "Infinity": valid JSON, and read back as the number. `null` is for what was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), ser_json_inf_nan="strings")

    def write(self, path: Path) -> Path:
        """Write the record as JSON under `path`, all or nothing (a temporary file, then a rename); return `path`."""
        from stsflow.tasks.ground.files import write_text_atomically

        return write_text_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """The record that `write` left at `path`; raises DamagedRecord when it is missing or not such a record."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise DamagedRecord(f"{path} is missing; it should hold a record of the kind {cls.__name__}") from error
        except OSError as error:
            raise DamagedRecord(f"{path} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            raise DamagedRecord(
                f"{path} is damaged, or was written by another version: it is no record of the kind {cls.__name__} "
                f"({first_fault(error)})"
            ) from error

    @classmethod
    def load_or_none(cls, path: Path) -> Self | None:
        """The record at `path`, or None when there is none or it is damaged; the log names one that is damaged.

        For what can be made again, and for what must not stop a run that it does not belong to.
        """
        try:
            return cls.load(path)
        except DamagedRecord as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                logger.warning("%s; it is passed over", error.message)
            return None


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


LONGEST_TEXT = 20_000
_NO_NUMBER = PydanticCustomError("no_number", "a number is wanted here, not true or false")
_TOO_LONG = PydanticCustomError("too_long", f"at most {LONGEST_TEXT:,} characters are allowed")
_NO_TEXT = PydanticCustomError("no_text", "control characters and halves of a surrogate pair are not allowed")
# Databases, file names and terminals take none of these; tab and line ends are text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _fault(value: Any, leaves: set[Any]) -> PydanticCustomError | None:
    """What is wrong with a field of these types, beyond what pydantic sees: it reads true as 1."""
    if any(isinstance(leaf, type) and issubclass(leaf, Section) for leaf in leaves):
        return None  # that section says it of its own field
    found = list(_scalars(value))
    texts = [one for one in found if isinstance(one, str)]
    if {int, float} & leaves and bool not in leaves and any(isinstance(one, bool) for one in found):
        return _NO_NUMBER
    if any(len(text) > LONGEST_TEXT for text in texts):
        return _TOO_LONG
    return _NO_TEXT if any(_CONTROL.search(text) for text in texts) else None


def leaf_types(annotation: Any) -> set[Any]:
    """The types inside a union, a tuple or a mapping, through Annotated."""
    inside = get_args(annotation)
    return {leaf for part in inside for leaf in leaf_types(part)} if inside else {annotation}


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _scalars(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _scalars(part)
    else:
        yield value
