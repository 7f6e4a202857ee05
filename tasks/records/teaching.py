"""What a teacher said of a training set."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.models import BaseModelRef


class Teaching(Record):
    """How a training set was labelled, and what can be said of the labels."""

    teacher: BaseModelRef
    gives: Literal["scores", "embedding"]
    digest_before: str
    """Content of the set before."""
    numbers: int
    """Of each row: scores, or the size of an embedding."""
    minimum: float
    mean: float
    maximum: float
    """Of all numbers."""
    disagrees: int | None
    """Rows of which the teacher scores a negative at least as high as the positive; None without both."""
    seconds: float
    """That the labels took to make, when they were made."""
