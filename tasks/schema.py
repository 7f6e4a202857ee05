"""The two pydantic bases of the project.

A *section* is a part of a recipe that a person wrote. A *record* is something a stage measured or made, handed on to
the next stage and kept as JSON. Both are frozen and refuse unknown fields: a typing mistake in a recipe, or a record
written by another version, is an error and never a silent default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=64)]
"""A name that may stand in a path, an MLflow metric and a Prefect key: lower case, digits, single `_` or `-`."""


class Section(BaseModel):
    """A part of a recipe. Field docstrings become the descriptions of the JSON Schema and of the Prefect form."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


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
