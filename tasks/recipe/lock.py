"""The recipe as a file keeps it: whole, with its hash, and locked to what the run read."""

from __future__ import annotations

from typing import Any

import yaml

from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.recipe.sections import ModelConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.sources import Source


def recipe_sha256(recipe: RunConfig) -> str:
    """What identifies a recipe: the hash of all its values, defaults included."""
    return fingerprint(recipe)


def recipe_yaml(recipe: RunConfig) -> str:
    """The whole recipe as YAML, defaults included, in the order of the sections."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def lock_recipe(
    recipe: RunConfig, base: BaseModelRef, data: PreparedData, guide: BaseModelRef | None = None
) -> RunConfig:
    """The recipe with the hashes of everything it read filled in, so that a later run reads the same or refuses."""
    values = recipe.model_dump(mode="json")
    models: list[tuple[Any, ModelConfig | None, BaseModelRef | None]] = [
        (values["model"], recipe.model, base), (values["training"]["guide"], recipe.training.guide, guide),
        (values["teacher"], recipe.teacher, data.teacher),
    ]  # fmt: skip
    for item in data.train:
        if item.mined is not None:
            mining, section = recipe.mining[item.name], values["mining"][item.name]
            models += [(section["model"], mining.model, item.mined.model)]
            models += [(section["guide"], mining.guide, item.mined.guide)]
            if mining.corpus_file is not None and item.mined.corpus_source is not None:
                locked = mining.corpus_file.source.locked(item.mined.corpus_source)
                section["corpus_file"]["source"] = locked.model_dump(mode="json")
    for section, config, found in models:
        if config is not None and found is not None:
            section["weights_sha256"] = found.weights_sha256
            section["source"] = config.source.locked(found.revision).model_dump(mode="json")
    sections = [(values["data"]["train"][item.name], item) for item in data.train]
    sections += [(values["evaluation"]["suites"][item.name], item) for item in data.evaluation]
    for section, prepared in sections:
        section["expect_rows"] = prepared.counts.read
        source = Source.of(section["source"]["kind"]).model_validate(section["source"])
        section["source"] = source.locked(prepared.source).model_dump(mode="json")
    return type(recipe).model_validate(values)
