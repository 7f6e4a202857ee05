"""What the columns of a training set are for once a teacher has labelled its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stsflow.tasks.losses import Loss
    from stsflow.tasks.recipe.sections import TeacherConfig
    from stsflow.tasks.shapes import Roles

COLUMN = "labels"
"""Of what the teacher says; the library's trainer knows it by this name."""


def taught_roles(teacher: TeacherConfig | None, name: str, roles: Roles, loss: Loss) -> Roles | None:
    """What the columns of training set `name` are for once it is labelled as its loss needs it; before, they are for
    `roles`.

    None for a set that is not labelled; `roles` where its loss learns from nothing that is given.
    """
    if teacher is None:
        return None
    if not (name in teacher.sets if teacher.sets is not None else loss.needs_teacher and roles.taught is None):
        return None
    said = replace(roles, score=None, of_two_values=False, taught=COLUMN)
    able = [said] if teacher.gives in (None, "scores") else []
    if teacher.gives in (None, "embedding") and roles.unlabelled:  # an embedding is that of each of the texts
        able.append(replace(said, teaches="embedding"))
    return next((one for one in able if loss.takes(one)), roles)
