"""Everything that the card says, as typed values, gathered from the records of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

import yaml
from pydantic import JsonValue

from tasks.card.escape import clean, is_plain_url, shorten
from tasks.card.evaluation_section import EvaluationSection, evaluation_section
from tasks.card.facts import Fact, FactSource
from tasks.card.header import card_header
from tasks.card.licences import LicenceConclusion, LicensedPart, conclude_licence
from tasks.card.limits_section import LimitsSection, limits_section
from tasks.card.samples import SetSamples, read_samples
from tasks.card.training_section import TrainingSection, training_section
from tasks.card.usage import ModelModules, read_modules, sentence_transformers_code, transformers_code
from tasks.config import RunConfig
from tasks.records import (
    BaseModelRef,
    Difference,
    EvaluationReport,
    PlanReport,
    PreparedData,
    PreparedSet,
    RunRef,
    SeedSummary,
    TokenReport,
    TrainedModel,
)
from tasks.schema import Record

_SIMILARITIES = {
    "cosine": "Cosine Similarity", "dot": "Dot Product", "euclidean": "Euclidean Distance",
    "manhattan": "Manhattan Distance",
}  # fmt: skip


class ModelDetails(Record):
    """Base and tuned model."""

    base_name: str
    base_link: str
    """http(s) address, or empty."""
    base_origin: str
    """`hub`, `directory` or `package`."""
    base_revision: Fact
    base_weights: Fact
    weights: Fact
    """SHA-256 of the tuned model's weights."""
    digest: Fact
    """SHA-256 over the tuned model's folder, without its card."""
    architecture_name: str
    parameters: Fact
    max_seq_length: Fact
    dimension: Fact
    similarity: str
    architecture: str
    """`print(model)`."""
    language: tuple[str, ...]


class Usage(Record):
    """Code and how to reproduce the run."""

    model_id: str
    sentence_transformers: str
    transformers: str | None
    """None when the model has modules that transformers alone does not have."""
    other_modules: tuple[str, ...]
    prompts: str
    """JSON of the model's prompts; empty when it has none."""
    command: str
    recipe: str
    """The locked recipe (YAML), folders of the machine left out."""
    recipe_digest: Fact
    run: Fact
    """MLflow run id."""
    recipe_name: str


class Evidence(Record):
    """What `stsflow verify-card` needs to measure the model again."""

    run: RunRef
    recipe: dict[str, JsonValue]
    """The whole recipe."""
    base: BaseModelRef
    training: str
    """Fingerprint of the training."""
    model_digest: str
    weights_sha256: str
    evaluation: tuple[PreparedSet, ...]
    pairs: dict[str, Path] = {}
    """Per-pair scores of the tuned model, by suite."""
    environment: dict[str, str] = {}


class CardContent(Record):
    """The card, before it is laid out."""

    title: str
    description: str
    header: dict[str, JsonValue]
    """The YAML header."""
    details: ModelDetails
    licence: LicenceConclusion
    usage: Usage
    evaluation: EvaluationSection
    limits: LimitsSection
    training: TrainingSection
    out_of_scope: str
    risks: str
    recommendations: str
    authors: tuple[str, ...]
    contact: str
    histogram: Path | None = None
    """Token histogram (PNG)."""
    evidence: Evidence


def gather_content(
    recipe: RunConfig,
    run: RunRef,
    data: PreparedData,
    base: BaseModelRef,
    tokens: TokenReport,
    plan: PlanReport | None,
    trained: TrainedModel,
    base_scores: EvaluationReport,
    tuned_scores: EvaluationReport,
    differences: tuple[Difference, ...],
    *,
    samples: Mapping[str, SetSamples] | None = None,
    modules: ModelModules | None = None,
    histogram: Path | None = None,
    seeds: SeedSummary | None = None,
) -> CardContent:
    """The card's content from the records of a run.

    `samples` (by training set) and `modules` are read from the Arrow folders and the model folder when they are not
    given. `histogram` is the picture of token lengths, shown when it is there. `seeds` says that the model is one of
    several that differ in the seed. Nothing else is read, and nothing is written.
    """
    chosen_samples = samples if samples is not None else {item.name: read_samples(item) for item in data.train}
    chosen_modules = modules if modules is not None else read_modules(trained.model)
    evaluation = evaluation_section(recipe, run, data, trained, base_scores, tuned_scores, differences)
    training = training_section(run, data, tokens, plan, trained, chosen_samples)
    findings = (*data.findings, *tokens.findings, *(plan.findings if plan else ()), *trained.findings)
    licence = conclude_licence(
        LicensedPart(what=base.name, license=base.license),
        [LicensedPart(what=item.title or item.name, license=item.license) for item in data.train],
        recipe.card.license,
    )
    title = clean(recipe.card.model_name) or f"SentenceTransformer based on {base.name}"
    language = recipe.card.language or tuple(dict.fromkeys(code for item in data.train for code in item.language))
    widget = _widget(trained, chosen_samples)
    return CardContent(
        title=title,
        description=recipe.card.description,
        header=card_header(title, language, licence.license, base, data, training, evaluation, widget),
        details=_details(run, base, trained, language),
        licence=licence,
        usage=_usage(recipe, run, base, trained, widget, chosen_modules),
        evaluation=evaluation,
        limits=limits_section(
            run, data, base, tokens, trained, findings, evaluation, training, recipe.headline_suite, seeds
        ),
        training=training,
        out_of_scope=recipe.card.out_of_scope,
        risks=recipe.card.risks,
        recommendations=recipe.card.recommendations,
        authors=recipe.card.authors,
        contact=recipe.card.contact,
        histogram=histogram,
        evidence=_evidence(recipe, run, data, base, trained, tuned_scores),
    )


def _details(run: RunRef, base: BaseModelRef, trained: TrainedModel, language: tuple[str, ...]) -> ModelDetails:
    before = FactSource(record="BaseModelRef", mlflow_run_id=run.mlflow_run_id, model_digest=base.digest)
    after = FactSource(record="TrainedModel", mlflow_run_id=run.mlflow_run_id, model_digest=trained.model_digest)
    return ModelDetails(
        base_name=base.name,
        base_link=_base_link(base),
        base_origin=base.kind,
        base_revision=before.fact("base.revision", base.revision),
        base_weights=before.fact("base.weights_sha256", base.weights_sha256),
        weights=after.fact("model.weights_sha256", trained.weights_sha256),
        digest=after.fact("model.digest", trained.model_digest),
        architecture_name=base.architecture,
        parameters=before.fact("model.parameters", base.parameters, "count"),
        max_seq_length=after.fact("model.max_seq_length", trained.max_seq_length or base.max_seq_length, "count"),
        dimension=after.fact("model.dimension", trained.dimension or base.dimension, "count"),
        similarity=_SIMILARITIES.get(trained.similarity, trained.similarity),
        architecture=trained.architecture,
        language=language,
    )


def _base_link(base: BaseModelRef) -> str:
    is_hub_name = re.fullmatch(r"[\w.-]+/[\w.-]+", base.name, re.ASCII) is not None
    if base.kind == "directory" or not is_hub_name:
        return ""
    return f"https://huggingface.co/{base.name}" + (f"/tree/{base.revision}" if base.kind == "hub" else "")


def _widget(trained: TrainedModel, samples: Mapping[str, SetSamples]) -> tuple[tuple[str, ...], ...]:
    """The trainer's choice of sentences, else the texts of the sample rows; whole, on one line, cut when very long."""
    rows: tuple[tuple[object, ...], ...] = trained.widget or tuple(
        row for item in samples.values() for row in item.rows
    )
    shortened = (tuple(shorten(value, 500) for value in row if isinstance(value, str)) for row in rows)
    return tuple(row for row in shortened if len(row) > 1)


def _usage(
    recipe: RunConfig,
    run: RunRef,
    base: BaseModelRef,
    trained: TrainedModel,
    widget: tuple[tuple[str, ...], ...],
    modules: ModelModules,
) -> Usage:
    model_id = recipe.card.model_id or recipe.name
    texts = (widget[0] if widget else ("The weather is lovely today.", "It is sunny outside.", "He drove away."))[:3]
    length, remote = trained.max_seq_length or base.max_seq_length, base.trust_remote_code
    source = FactSource(record="RunRef", mlflow_run_id=run.mlflow_run_id)
    return Usage(
        model_id=model_id,
        sentence_transformers=sentence_transformers_code(model_id, texts, trained.dimension or base.dimension, remote),
        transformers=transformers_code(model_id, texts, length, modules, remote),
        other_modules=modules.others,
        prompts=json.dumps(modules.prompts, ensure_ascii=False, indent=2) if any(modules.prompts.values()) else "",
        command="stsflow run recipe.yaml",
        recipe=_portable_recipe(recipe),
        recipe_digest=source.fact("run.recipe_sha256", run.recipe_sha256),
        run=source.fact("run.mlflow_run_id", run.mlflow_run_id),
        recipe_name=recipe.name,
    )


def _portable_recipe(recipe: RunConfig) -> str:
    """YAML of what the recipe states; absolute folders shrink to their last part, addresses stay."""
    stated = recipe.model_dump(mode="json", exclude_unset=True)
    if not _means_the_same(stated, recipe):
        stated = recipe.model_dump(mode="json")
    return yaml.safe_dump(_without_folders(stated), allow_unicode=True, sort_keys=False, width=110)


def _means_the_same(stated: dict[str, JsonValue], recipe: RunConfig) -> bool:
    try:
        return RunConfig.model_validate(stated) == recipe
    except ValueError:
        return False


def _without_folders(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and PurePath(value).is_absolute() and not is_plain_url(value):
        return PurePath(value).name
    return value


def _evidence(
    recipe: RunConfig,
    run: RunRef,
    data: PreparedData,
    base: BaseModelRef,
    trained: TrainedModel,
    tuned_scores: EvaluationReport,
) -> Evidence:
    return Evidence(
        run=run,
        recipe=recipe.model_dump(mode="json"),
        base=base,
        training=trained.fingerprint,
        model_digest=trained.model_digest,
        weights_sha256=trained.weights_sha256,
        evaluation=data.evaluation,
        pairs={name: scores.pairs for name, scores in tuned_scores.suites.items() if scores.pairs is not None},
        environment=trained.environment,
    )
