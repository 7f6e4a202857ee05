"""Rows that already are pairs."""

from __future__ import annotations

from typing import ClassVar, Literal

from stsflow.tasks.shapes.family import Roles, Shape


class Pairs(Shape):
    """Rows that are (anchor, positive) pairs."""

    kind: Literal["pairs"] = "pairs"
    roles: ClassVar[Roles] = Roles(("anchor", "positive"))
    default_loss: ClassVar[str] = "multiple_negatives_ranking"
    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive."""
