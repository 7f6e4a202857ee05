"""Which columns of a prepared set are for what."""

from __future__ import annotations

from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.shapes import Roles, Shape


def roles_of(prepared: PreparedSet) -> Roles:
    """The columns that a loss or a suite takes of the set, by what they are for; on disk there may be others."""
    return Shape.of(prepared.shape).roles
