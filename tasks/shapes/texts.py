"""Rows that are one text each."""

from __future__ import annotations

from typing import ClassVar, Literal

from stsflow.tasks.shapes.family import Roles, Shape


class Texts(Shape):
    """Rows that are one text each, to be embedded by a teacher."""

    kind: Literal["texts"] = "texts"
    roles: ClassVar[Roles] = Roles(("text",))
    default_loss: ClassVar[str] = "mse"
    symmetric: ClassVar[bool] = True
    text: str = "text"
    """Column of the text."""
