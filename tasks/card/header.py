"""The YAML header that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import JsonValue

from stsflow.tasks.card.escape import clean
from stsflow.tasks.card.evaluation_section import EvaluationSection, SuiteBlock
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.licences import HUB_LICENCES
from stsflow.tasks.card.training_section import TrainingSection
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.sources import Source


def card_header(
    title: str, language: Sequence[str], license: str, evidence: Evidence, training: TrainingSection,
    evaluation: EvaluationSection, widget: Sequence[Sequence[str]],
) -> dict[str, JsonValue]:  # fmt: skip
    """The header's keys in the order of the hub's own cards. Keys without a value are left out.

    The hub refuses a card whose header names what it has no word for, so `base_model` and `datasets` hold ids of the
    hub alone, `language` codes of two or three letters (longer ones stand under `language_bcp47`), and `license` one
    that it knows. Scores are those of the tuned model, in full precision; a score that is not a number has no place in
    a model-index and is left out there.
    """
    rows = sum(item.rows for item in evidence.data.train)
    ids = [Source.of(item.source.kind).hub_id(item.source) for item in evidence.data.train]
    metrics: dict[str, None] = {row.name: None for block in evaluation.suites for row in block.metrics}
    base_model = ModelSource.of(evidence.base.kind).hub_name(evidence.base.name)
    header: dict[str, JsonValue] = {
        "base_model": base_model,
        "base_model_relation": "finetune" if base_model else "",
        "datasets": list(dict.fromkeys(filter(None, ids))),
        "language": list(dict.fromkeys(re.split("[-_]", code)[0].lower() for code in language)),
        "language_bcp47": list(language) if any(re.search("[-_]", code) for code in language) else [],
        "library_name": "sentence-transformers",
        "license": license if license in HUB_LICENCES else "other",
        "license_name": _licence_name(license),
        "metrics": list(metrics),
        "pipeline_tag": "sentence-similarity",
        "tags": [
            "sentence-transformers",
            "sentence-similarity",
            "feature-extraction",
            "generated_from_trainer",
            f"dataset_size:{rows}",
            *(f"loss:{name}" for name in training.losses),
        ],
        "widget": [{"source_sentence": row[0], "sentences": list(row[1:])} for row in widget],
        "model-index": [{"name": title, "results": [_result(block) for block in evaluation.suites]}],
    }
    return {key: value for key, value in header.items() if value not in (None, [], "")}


def _licence_name(license: str) -> str | None:
    """What the hub shows of a licence that it does not know; None where it knows it."""
    if license == "other":
        return "see-model-card"
    return None if license in HUB_LICENCES else re.sub("[^a-z0-9.]+", "-", license.lower()).strip("-")


def _result(block: SuiteBlock) -> JsonValue:
    return {
        "task": {"type": block.task_type, "name": block.heading},
        "dataset": {"name": clean(block.title), "type": block.name, "split": clean(block.split)},
        "metrics": [
            {"type": row.name, "value": row.tuned.value, "name": row.name.replace("_", " ").title()}
            for row in block.metrics
            if row.tuned.number is not None
        ],
    }
