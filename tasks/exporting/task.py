"""Prefect task of the exporting stage."""

from __future__ import annotations

import shutil

from prefect import task
from prefect.artifacts import create_table_artifact

from stsflow.tasks.exporting.export import export_all, in_words
from stsflow.tasks.ground.files import folder_made_whole, link_or_copy
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.training import TrainedModel


@task(name="export", task_run_name="export {recipe.name}")
def export_model(
    recipe: RunConfig, run: RunRef, base: BaseModelRef, trained: TrainedModel, data: PreparedData,
    tuned: EvaluationReport, workspace: Workspace, fresh: bool = False,
) -> Exports | None:  # fmt: skip
    """Every export with what it costs; those that passed their limits stand in the run's folder. None where the recipe
    asks for none.
    """
    place = RunFolder(run.folder).exports
    shutil.rmtree(place, ignore_errors=True)  # of an earlier attempt of this run
    if not recipe.release.exports:
        return None
    found = export_all(recipe, base, trained, data, tuned, workspace, fresh=fresh)
    with folder_made_whole(place) as target:
        for item in found.released:
            assert item.folder is not None  # what passed was made
            link_or_copy(item.folder, target / item.name)
        found.write(target / RunFolder.EXPORTS)
    table = [{"export": item.name, "kind": item.kind, "outcome": in_words(item)} for item in found.items]
    publish_artifact(create_table_artifact, key="exports", table=table, description=f"Exports of {run.name}")
    return found
