"""The YAML header that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from stsflow.tasks.card.escape import clean
from stsflow.tasks.card.evaluation_section import EvaluationSection, SuiteBlock
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.training_section import TrainingSection
from stsflow.tasks.sources import Source


def card_header(
    title: str, language: Sequence[str], license: str, evidence: Evidence, training: TrainingSection,
    evaluation: EvaluationSection, widget: Sequence[Sequence[str]],
) -> dict[str, JsonValue]:  # fmt: skip
    """The header's keys in the order of the hub's own cards. Keys without a value are left out.

    `datasets` names the data sets that the hub knows, by id: it takes any other name for an id of its own. Scores are
    those of the tuned model, in full precision; a score that is not a number has no place in a model-index and is left
    out there.
    """
    rows = sum(item.rows for item in evidence.data.train)
    ids = [Source.of(item.source.kind).hub_id(item.source) for item in evidence.data.train]
    metrics: dict[str, None] = {row.name: None for block in evaluation.suites for row in block.metrics}
    header: dict[str, JsonValue] = {
        "base_model": evidence.base.name,
        "base_model_relation": "finetune",
        "datasets": list(dict.fromkeys(filter(None, ids))),
        "language": list(language),
        "library_name": "sentence-transformers",
        "license": license,
        "license_name": "see-model-card" if license == "other" else None,
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
