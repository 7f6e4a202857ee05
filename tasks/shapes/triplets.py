"""Rows that already are triplets."""

from __future__ import annotations

from typing import ClassVar, Literal

from stsflow.tasks.shapes.family import Roles, Shape


class Triplets(Shape):
    """Rows that already are triplets."""

    kind: Literal["triplets"] = "triplets"
    roles: ClassVar[Roles] = Roles(("anchor", "positive", "negative"), negatives=1)
    default_loss: ClassVar[str] = "multiple_negatives_ranking"
    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive."""
    negative: str = "negative"
    """Column of the negative."""
