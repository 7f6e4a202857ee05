"""The records that a card is made of, as facts.json ships them: whoever has them can write the card again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import field_validator

from stsflow.tasks.card.facts import Fact, FactSource
from stsflow.tasks.card.samples import SetSamples
from stsflow.tasks.card.usage import ModelModules
from stsflow.tasks.ground.addresses import is_url, without_credentials
from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.recipe.lock import recipe_yaml
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, MovedRows, SeedSummary
from stsflow.tasks.records.exports import ExportOutcome, Exports
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.looks import Account
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sources import FileRef, SourceRef
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.sources import Source


class Evidence(Record):
    """Everything that a card says follows from this, by `content_of`. It names no folder of the machine."""

    recipe: RunConfig
    """The run's locked recipe, made portable."""
    run: RunRef
    data: PreparedData
    base: BaseModelRef
    tokens: TokenReport
    plan: PlanReport | None
    trained: TrainedModel
    base_scores: EvaluationReport
    tuned_scores: EvaluationReport
    teacher_scores: EvaluationReport | None = None
    """Of the model that labelled rows, on the suites that it can be measured on."""
    differences: tuple[Difference, ...]
    samples: dict[str, SetSamples]
    """First rows of each training set."""
    modules: ModelModules
    histogram: bool
    """Whether there is a picture of token lengths."""
    seeds: SeedSummary | None
    sweep: SweepSummary | None = None
    """Whose best trial has these settings."""
    account: Account | None = None
    """What was left of the error budget of the headline suite's rows when the card was written."""
    exports: Exports | None = None
    """None where the recipe asks for none."""
    moved: dict[str, MovedRows] = {}
    """By suite, the rows that moved most between base and tuned model."""
    pairs: dict[str, str]
    """SHA-256 of the files of per-row scores, by `<model>/<suite>`."""

    @field_validator("data")
    @classmethod
    def _is_from_known_sources(cls, value: PreparedData) -> PreparedData:
        for item in (*value.train, *value.evaluation):
            Source.known(item.source.kind)
        return value

    def source(self, record: str, **fields: Any) -> FactSource:
        """Where facts of this run's `record` come from; `fields` are those of FactSource that apply."""
        return FactSource(record=record, mlflow_run_id=self.run.mlflow_run_id, **fields)

    @property
    def training_source(self) -> FactSource:
        """Where facts of the training come from."""
        return self.source("TrainedModel", model_digest=self.trained.model_digest)


class PlacedFact(Record):
    """A fact and where the card shows it."""

    fact: Fact
    places: tuple[tuple[int, int, str], ...]
    """Line from 1, column from 0, text there. Empty for a fact that only a figure or the YAML header uses."""


class CardFacts(Record):
    """The file facts.json."""

    format: Literal[2] = 2
    code: str
    """Fingerprint of the code that wrote the card (see `render.code_of_cards`)."""
    card_sha256: str
    """Of README.md."""
    figures: dict[str, str]
    """SHA-256 by file name."""
    facts: tuple[PlacedFact, ...]
    evidence: Evidence


def digests_of_pairs(*reports: EvaluationReport) -> dict[str, str]:
    """SHA-256 of the files of per-row scores that the reports name, by `<model>/<suite>`."""
    return {
        f"{report.model}/{name}": sha256_of_file(scores.pairs)
        for report in reports
        for name, scores in report.suites.items()
        if scores.pairs is not None and scores.pairs.is_file()
    }


def portable(evidence: Evidence) -> Evidence:
    """The same without a folder of the machine: paths shrink to their last part, folders inside messages go."""
    run = evidence.run.model_copy(update={"tracking_uri": ""})
    changed = evidence.model_copy(update={"recipe": portable_recipe(evidence.recipe), "run": run})
    found: Evidence = _portable(changed, _folders(evidence))
    return found


def _portable(value: Any, folders: Sequence[str]) -> Any:
    """The value with every path in it shortened, in all records inside; texts only where they may name a folder."""
    if isinstance(value, Path):
        return Path(shortened(str(value)))
    if isinstance(value, tuple):
        return tuple(_portable(item, folders) for item in value)
    if isinstance(value, dict):
        return {name: _portable(item, folders) for name, item in value.items()}
    if not isinstance(value, Record):
        return value
    fields = {name: _portable(item, folders) for name, item in value}
    if isinstance(value, Finding):
        fields |= {name: _without(folders, fields[name]) for name in ("message", "remedy", "subject")}
    elif isinstance(value, SourceRef):
        fields |= {"name": shortened(value.name), "uri": _portable_address(value.uri)}
    elif isinstance(value, FileRef):
        fields["uri"] = _portable_address(value.uri)
    elif isinstance(value, ExportOutcome):
        fields["reasons"] = tuple(_without(folders, reason) for reason in fields["reasons"])
    elif isinstance(value, TrainedModel):
        fields["hyperparameters"] = {name: _without_folders(item) for name, item in value.hyperparameters.items()}
    return value.model_copy(update=fields)


def portable_recipe(recipe: RunConfig) -> RunConfig:
    """The recipe without folders of the machine and without what an address carries as a secret; `data.root` is left
    out, so that it is the recipe's own folder or what `--set data.root=FOLDER` says."""
    values = recipe.model_dump(mode="json")
    values["data"]["root"] = None
    values["training"]["arguments"] = _without_folders(values["training"]["arguments"])
    if (sign := values["release"]["sign"]) is not None:
        sign["key"] = shortened(sign["key"]) if sign["key"] else None
    mining = values["mining"].values()
    mined_by = [section[field] for section in mining for field in ("model", "guide")]
    for model in (values["model"], values["teacher"], values["training"]["guide"], *mined_by):
        if model is not None and "path" in model["source"]:
            model["source"]["path"] = shortened(model["source"]["path"])
    files = [section["corpus_file"] for section in mining if section["corpus_file"] is not None]
    files += [{"source": values["drift"][name]} for name in ("texts", "against") if (values["drift"] or {}).get(name)]
    for section in (*values["data"]["train"].values(), *values["evaluation"]["suites"].values(), *files):
        if section.get("folder"):
            section["folder"] = shortened(section["folder"])
        source = section.get("source") or {}
        if "paths" in source:
            source["paths"] = [_portable_address(entry) for entry in source["paths"]]
            for field in ("sha256", "git_blob"):
                source[field] = {_portable_address(name): value for name, value in source[field].items()}
    return RunConfig.model_validate(values)


def portable_yaml(recipe: RunConfig) -> str:
    """The recipe as the card prints it: YAML without the line of `data.root` where none is stated."""
    text = recipe_yaml(recipe)
    return text.replace("\n  root: null\n", "\n", 1) if recipe.data.root is None else text


def shortened(text: str) -> str:
    """The last part of an absolute path; any other text as it is."""
    return PurePath(text).name if PurePath(text).is_absolute() else text


def _folders(evidence: Evidence) -> list[str]:
    """Folders that messages may begin a path with, the deepest first: the data's, the workspace's, the person's."""
    found = {evidence.recipe.data.root, evidence.run.folder.parent.parent, Path.cwd(), Path.home()}
    usable = [str(folder) for folder in found if folder is not None and folder.is_absolute() and folder.name]
    return sorted(usable, key=len, reverse=True)


def _without(folders: Sequence[str], text: str) -> str:
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text


def _portable_address(entry: str) -> str:
    return without_credentials(entry) if is_url(entry) else shortened(entry)


def _without_folders(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return shortened(value) if isinstance(value, str) else value
