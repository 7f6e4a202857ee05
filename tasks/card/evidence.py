"""The records that a card is made of, as facts.json ships them: whoever has them can write the card again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SeedSummary
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sources import SourceRef
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
    differences: tuple[Difference, ...]
    samples: dict[str, SetSamples]
    """First rows of each training set."""
    modules: ModelModules
    histogram: bool
    """Whether there is a picture of token lengths."""
    seeds: SeedSummary | None
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
    folders = _folders(evidence)

    def plain(text: str) -> str:
        for folder in folders:
            text = text.replace(f"{folder}/", "")
        return text

    data, plan = evidence.data, evidence.plan
    return evidence.model_copy(
        update={
            "recipe": portable_recipe(evidence.recipe),
            "run": evidence.run.model_copy(update={"folder": _name(evidence.run.folder), "tracking_uri": ""}),
            "data": data.model_copy(
                update={
                    "train": tuple(_portable_set(item) for item in data.train),
                    "evaluation": tuple(_portable_set(item) for item in data.evaluation),
                    "findings": _said(data.findings, plain),
                }
            ),
            "base": _portable_model(evidence.base),
            "tokens": evidence.tokens.model_copy(update={"findings": _said(evidence.tokens.findings, plain)}),
            "plan": plan and plan.model_copy(update={"findings": _said(plan.findings, plain)}),
            "trained": _portable_training(evidence.trained, plain),
            "base_scores": _portable_report(evidence.base_scores),
            "tuned_scores": _portable_report(evidence.tuned_scores),
        }
    )


def portable_recipe(recipe: RunConfig) -> RunConfig:
    """The recipe without folders of the machine and without what an address carries as a secret; `data.root` is left
    out, so that it is the recipe's own folder or what `--set data.root=FOLDER` says."""
    values = recipe.model_dump(mode="json")
    values["data"]["root"] = None
    values["training"]["arguments"] = _without_folders(values["training"]["arguments"])
    for model in (values["model"], values["training"]["guide"]):
        if model is not None and "path" in model["source"]:
            model["source"]["path"] = shortened(model["source"]["path"])
    for section in (*values["data"]["train"].values(), *values["evaluation"]["suites"].values()):
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


def _name(path: Path) -> Path:
    return Path(shortened(str(path)))


def _name_or_none(path: Path | None) -> Path | None:
    return None if path is None else _name(path)


def _portable_address(entry: str) -> str:
    return without_credentials(entry) if is_url(entry) else shortened(entry)


def _portable_set(item: PreparedSet) -> PreparedSet:
    return item.model_copy(
        update={
            "path": _name(item.path), "source": _portable_source(item.source),
            "clean_rows": _name_or_none(item.clean_rows),
        }
    )  # fmt: skip


def _portable_source(source: SourceRef) -> SourceRef:
    files = tuple(
        file.model_copy(update={"path": _name(file.path), "uri": _portable_address(file.uri)}) for file in source.files
    )
    names = {"name": shortened(source.name), "uri": _portable_address(source.uri)}
    return source.model_copy(update={"files": files, **names})


def _portable_model(model: BaseModelRef | None) -> BaseModelRef | None:
    return model and model.model_copy(update={"path": _name(model.path)})


def _portable_training(trained: TrainedModel, plain: Callable[[str], str]) -> TrainedModel:
    return trained.model_copy(
        update={
            "folder": _name(trained.folder), "model": _name(trained.model), "guide": _portable_model(trained.guide),
            "hyperparameters": {name: _without_folders(value) for name, value in trained.hyperparameters.items()},
            "findings": _said(trained.findings, plain),
        }
    )  # fmt: skip


def _portable_report(report: EvaluationReport) -> EvaluationReport:
    suites = {
        name: scores.model_copy(
            update={
                "pairs": _name_or_none(scores.pairs),
                "plot": _name_or_none(scores.plot),
                "reference": scores.reference
                and scores.reference.model_copy(update={"pairs": _name(scores.reference.pairs)}),
            }
        )
        for name, scores in report.suites.items()
    }
    return report.model_copy(update={"model_path": _name(report.model_path), "suites": suites})


def _said(findings: tuple[Finding, ...], plain: Callable[[str], str]) -> tuple[Finding, ...]:
    return tuple(
        item.model_copy(
            update={"message": plain(item.message), "remedy": plain(item.remedy), "subject": plain(item.subject)}
        )
        for item in findings
    )


def _without_folders(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return shortened(value) if isinstance(value, str) else value
