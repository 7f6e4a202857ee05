"""Prefect tasks of the teaching stage."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.hardware import AskedDevice
from stsflow.tasks.recipe.sections import TeacherConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.shapes import Roles
from stsflow.tasks.teaching.teach import teach_sets


@task(name="teach", task_run_name="have {teacher.name} label rows")
def teach(
    data: PreparedData, teacher: BaseModelRef, config: TeacherConfig, taught: Mapping[str, Roles], device: AskedDevice,
    workspace: Workspace, fresh: bool,
) -> PreparedData:  # fmt: skip
    """The data, the training sets that `taught` names with a column of what the teacher says of their rows."""
    return teach_sets(data, teacher, config, taught, workspace, device=device, fresh=fresh)
