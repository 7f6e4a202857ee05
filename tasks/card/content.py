"""Everything that the card says, as typed values, gathered from the records of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from stsflow.tasks.card.escape import clean, shorten
from stsflow.tasks.card.evaluation_section import EvaluationSection, evaluation_section
from stsflow.tasks.card.evidence import Evidence, portable, portable_yaml
from stsflow.tasks.card.exports_section import ExportsSection, exports_section
from stsflow.tasks.card.facts import Fact
from stsflow.tasks.card.header import card_header
from stsflow.tasks.card.licences import LicenceConclusion, LicensedPart, conclude_licence
from stsflow.tasks.card.limits_section import LimitsSection, limits_section
from stsflow.tasks.card.merge_section import MergeSection, merge_section
from stsflow.tasks.card.mining_section import MiningBlock, mining_blocks
from stsflow.tasks.card.samples import SetSamples
from stsflow.tasks.card.seeds_section import SeedsSection, seeds_section
from stsflow.tasks.card.sweep_section import SweepSection, sweep_section
from stsflow.tasks.card.training_section import TrainingSection, training_section
from stsflow.tasks.card.usage import sentence_transformers_code, transformers_code
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.training import TrainedModel

_SIMILARITIES = {
    "cosine": "Cosine Similarity", "dot": "Dot Product", "euclidean": "Euclidean Distance",
    "manhattan": "Manhattan Distance",
}  # fmt: skip

HISTOGRAM = "token-lengths.png"
"""Name in figures/ of the picture of token lengths."""


class ModelDetails(Record):
    """Base and tuned model."""

    base_link: str
    """http(s) address, or empty."""
    base_revision: Fact
    base_weights: Fact
    weights: Fact
    """SHA-256 of the tuned model's weights."""
    digest: Fact
    """SHA-256 over the tuned model's folder, without its card."""
    parameters: Fact
    max_seq_length: Fact
    dimension: Fact
    similarity: str
    language: tuple[str, ...]
    others: tuple[OtherModel, ...]
    """Models that helped to train it and are no part of it."""


class OtherModel(Record):
    """A model that helped."""

    what: str
    """What it did."""
    name: str
    link: str
    """http(s) address, or empty."""
    digest: Fact
    license: str


class Usage(Record):
    """Code and how to reproduce the run."""

    model_id: str
    sentence_transformers: str
    transformers: str | None
    """None when the model has modules that transformers alone does not have."""
    prompts: str
    """JSON of the model's prompts; empty when it has none."""
    default_prompt: str
    """Name of the one that `encode` takes by itself; empty when there is none."""
    training_prompts: str
    """JSON of what the trainer put before the texts, by training set and column; empty when there was nothing."""
    recipe: str
    """The locked recipe (YAML), folders of the machine left out."""
    recipe_digest: Fact
    run: Fact
    """MLflow run id."""


class CardContent(Record):
    """The card, before it is laid out."""

    title: str
    header: dict[str, JsonValue]
    """The YAML header."""
    details: ModelDetails
    licence: LicenceConclusion
    usage: Usage
    evaluation: EvaluationSection
    merge: MergeSection | None
    seeds: SeedsSection
    sweep: SweepSection | None
    exports: ExportsSection | None
    limits: LimitsSection
    training: TrainingSection
    mining: tuple[MiningBlock, ...]
    evidence: Evidence
    """For its texts: what the recipe says in `card`, names of the base model."""
    pictures: dict[str, Path] = {}
    """Where the pictures that other stages drew lie on this machine, by their names in figures/."""


def gather_content(evidence: Evidence, histogram: Path | None = None) -> CardContent:
    """The content of a run's card, with the pictures that other stages drew: the suites' own, and the `histogram` of
    token lengths where there is one."""
    pictures = {
        gold_picture(name): scores.plot
        for name, scores in evidence.tuned_scores.suites.items()
        if scores.plot is not None
    }
    if histogram is not None:
        pictures[HISTOGRAM] = histogram
    return content_of(portable(evidence)).model_copy(update={"pictures": pictures})


def content_of(evidence: Evidence) -> CardContent:
    """The content of the card that these records make: the same whoever asks, on any machine."""
    said, data, base = evidence.recipe.card, evidence.data, evidence.base
    evaluation, training = evaluation_section(evidence), training_section(evidence)
    language = said.language or tuple(dict.fromkeys(code for item in data.train for code in item.language))
    details = _details(evidence, language)
    licence = conclude_licence(
        LicensedPart(what=base.name, license=base.license),
        [
            *(LicensedPart(what=item.title, license=item.license) for item in data.train),
            *(LicensedPart(what=f"{model.name} ({model.what})", license=model.license) for model in details.others),
        ],
        said.license,
    )
    title = clean(said.model_name) or f"{ModelKind.of(base.model_kind).library_class} based on {base.name}"
    widget = _widget(evidence.trained, evidence.samples)
    return CardContent(
        title=title,
        header=card_header(title, language, licence.license, evidence, training, evaluation, widget),
        details=details,
        licence=licence,
        usage=_usage(evidence, widget),
        evaluation=evaluation,
        merge=merge_section(evidence),
        seeds=seeds_section(evidence, evaluation),
        sweep=sweep_section(evidence),
        exports=exports_section(evidence),
        limits=limits_section(evidence, evaluation, training),
        training=training,
        mining=mining_blocks(evidence),
        evidence=evidence,
    )


def gold_picture(suite: str) -> str:
    """Name in figures/ of the picture of gold against predicted scores."""
    return f"gold-vs-predicted-{suite}.png"


def _details(evidence: Evidence, language: tuple[str, ...]) -> ModelDetails:
    base, trained, after = evidence.base, evidence.trained, evidence.training_source
    before = evidence.source("BaseModelRef", model_digest=base.digest)
    return ModelDetails(
        base_link=ModelSource.of(base.kind).page(base.name, base.revision),
        base_revision=before.fact("base.revision", base.revision),
        base_weights=before.fact("base.weights_sha256", base.weights_sha256),
        weights=after.fact("model.weights_sha256", trained.weights_sha256),
        digest=after.fact("model.digest", trained.model_digest),
        parameters=before.fact("model.parameters", base.parameters, "count"),
        max_seq_length=after.fact("model.max_seq_length", trained.max_seq_length or base.max_seq_length, "count"),
        dimension=after.fact("model.dimension", trained.dimension or base.dimension, "count"),
        similarity=_SIMILARITIES.get(trained.similarity, trained.similarity),
        language=language,
        others=tuple(_other(evidence, what, model) for what, model in _other_models(evidence).items()),
    )


def _other_models(evidence: Evidence) -> dict[str, BaseModelRef]:
    """Models that helped to train this one, by what they did."""
    named = {"teacher": evidence.data.teacher, "guide": evidence.trained.guide}
    helped = {what: model for what, model in named.items() if model is not None}
    for item in evidence.data.train:
        if item.mined is not None and item.mined.model.digest != evidence.base.digest:
            helped[f"mining of {item.name}"] = item.mined.model
        if item.mined is not None and item.mined.guide is not None:
            helped[f"guide of mining of {item.name}"] = item.mined.guide
    return helped


def _other(evidence: Evidence, what: str, model: BaseModelRef) -> OtherModel:
    source = evidence.source("BaseModelRef", model_digest=model.digest)
    return OtherModel(
        what=what, name=model.name, link=ModelSource.of(model.kind).page(model.name, model.revision),
        digest=source.fact(f"{what}.digest", model.digest), license=model.license,
    )  # fmt: skip


def _widget(trained: TrainedModel, samples: Mapping[str, SetSamples]) -> tuple[tuple[str, ...], ...]:
    """The trainer's choice of sentences, else the texts of the sample rows; whole, on one line, cut when very long."""
    rows: tuple[tuple[object, ...], ...] = trained.widget or tuple(
        row for item in samples.values() for row in item.rows
    )
    shortened = (tuple(shorten(value, 500) for value in row if isinstance(value, str)) for row in rows)
    return tuple(row for row in shortened if len(row) > 1)


def _usage(evidence: Evidence, widget: tuple[tuple[str, ...], ...]) -> Usage:
    recipe, base, trained, modules = evidence.recipe, evidence.base, evidence.trained, evidence.modules
    pushed = recipe.release.push.repo if recipe.release.push else ""
    # A name that nobody gave would load nothing, or a folder that is in the way.
    model_id = recipe.card.model_id or pushed or "."
    texts = (widget[0] if widget else ("The weather is lovely today.", "It is sunny outside.", "He drove away."))[:3]
    length, remote = trained.max_seq_length or base.max_seq_length, base.trust_remote_code
    training = column_prompts(recipe, base).training
    source = evidence.source("RunRef")
    return Usage(
        model_id=model_id,
        sentence_transformers=sentence_transformers_code(
            ModelKind.named(base.model_kind),
            model_id,
            texts,
            trained.dimension or base.dimension,
            modules.prompts,
            remote,
        ),
        transformers=transformers_code(model_id, texts, length, modules, remote),
        prompts=json.dumps(modules.prompts.texts, ensure_ascii=False, indent=2) if modules.prompts.some else "",
        default_prompt=(modules.prompts.default or "") if modules.prompts.of(None) else "",
        training_prompts=json.dumps(training, ensure_ascii=False, indent=2) if training else "",
        recipe=portable_yaml(recipe),
        recipe_digest=source.fact("run.recipe_sha256", evidence.run.recipe_sha256),
        run=source.fact("run.mlflow_run_id", evidence.run.mlflow_run_id),
    )
