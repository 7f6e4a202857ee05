"""Prefect task of the merging stage."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from prefect import task

from stsflow.tasks.ground.files import folder_made_whole, link_or_copy
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.merging.merge import merge_models
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.training import TrainedModel


@task(name="merge with base", task_run_name="merge {recipe.name} with its base model")
def merge_with_base(
    recipe: RunConfig, run: RunRef, base: BaseModelRef, trained: TrainedModel, others: Sequence[TrainedModel],
    data: PreparedData, workspace: Workspace, fresh: bool = False,
) -> TrainedModel:  # fmt: skip
    """The trained model with the weights that merging chose, which take their place in the run's folder too.

    `others` are the trainings under `recipe.other_seeds`.
    """
    if recipe.release.merge is None:
        return trained
    seeds = dict(zip((recipe.training.seed, *recipe.other_seeds), (trained, *others), strict=True))
    found = merge_models(recipe, recipe.release.merge, base, seeds, data, workspace, fresh)
    digest, place = found.merge.point.model_digest, RunFolder(run.folder).model
    if sha256_of_model(place) != digest:
        shutil.rmtree(place)
        with folder_made_whole(place) as target:
            link_or_copy(found.model, target)
    return trained.model_copy(
        update={
            "model": found.model, "model_digest": digest, "weights_sha256": found.weights_sha256, "merge": found.merge,
        }
    )  # fmt: skip
