"""Evaluate models: what a flow calls. Heavy work happens in a child process; finished scores are found by content."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import cast

from stsflow.tasks.evaluation.worker import EvaluationSpec, ModelSpec, reference_file, report_file
from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import EvaluationFailed, ModelError, Refused
from stsflow.tasks.ground.files import link_or_copy, write_text_atomically
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make_all, with_paths
from stsflow.tasks.models.hardware import AskedDevice, Device, choose_device
from stsflow.tasks.models.kinds import BiEncoder, ModelKind
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import EvaluationReport, Reference
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import SuitePrompts
from stsflow.tasks.suites import Suite, suites_of_rows

log = logging.getLogger(__name__)

# What the numbers depend on besides model, data and settings.
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy", "mteb")
WORKER = "stsflow.tasks.evaluation.worker"


@dataclass(frozen=True)
class ModelUnderTest:
    """A model to evaluate."""

    name: str
    """`base`, `tuned`, or what the person calls it; names a folder."""
    path: Path
    digest: str
    """SHA-256 over the model folder without its README.md."""
    base: BaseModelRef | None = None
    """For a base model or a teacher: how the recipe wants it loaded (length, pooling, prompts)."""

    def measured_on(self, suites: Mapping[str, Suite]) -> tuple[str, ...]:
        """Those of the suites that it gives what they ask for."""
        gives = ModelKind.of(self.base.model_kind).gives if self.base else BiEncoder.gives
        return tuple(name for name, suite in suites.items() if gives in suite.measures)


def evaluate_models(
    models: Sequence[ModelUnderTest], config: EvaluationConfig, data: PreparedData, folder: Path, *,
    prompts: Mapping[str, SuitePrompts], device: AskedDevice = "auto", workspace: Workspace | None = None,
) -> list[EvaluationReport]:  # fmt: skip
    """Reports of `models` on the suites of `config`, in order, all scored by the same code in one child process; each
    on those that it gives what they ask for, at least one.

    Texts are read behind each model's own prompts, of which `prompts` names others by suite; a base model has those of
    its record.

    Leaves `<folder>/<model>/` with `report.json` and for each suite its scores (`.json`), its per-row scores
    (`.parquet`) and figure (`.png`), and `<folder>/<suite>.json` with the scores of every model in the folder. With a
    workspace, a suite on which the same model was scored before, on the same data with the same settings and code, is
    not scored again, whatever the other suites are; a report of such suites alone says `reused`. Raises
    PreconditionError for a `device` that is not there, ModelError when a model does not load as its files say,
    EvaluationFailed with the last lines of the child's log for whatever else ends it.
    """
    suites = config.suites
    prepared = tuple(item for item in data.evaluation if item.name in suites)
    chosen = cast("Device", choose_device(device).chosen)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        store = workspace or Workspace(Path(scratch))
        keys = {
            model.name: {
                name: scores_fingerprint(model, name, config, prepared, chosen, prompts.get(name))
                for name in model.measured_on(suites)
            }
            for model in models
        }
        lacking: dict[str, list[str]] = {model.name: [] for model in models}

        def make(folders: Mapping[str, Path]) -> dict[str, EvaluationReport]:
            lacking.update(_lacking(keys, folders))
            _say_what_begins(lacking, prepared)
            spec = EvaluationSpec(models=(), config=config, data=prepared, device=chosen, prompts=dict(prompts))
            return _scored_by_a_child(models, lacking, keys, folders, spec, folder)

        every = [key for by_suite in keys.values() for key in by_suite.values()]
        found = find_or_make_all(store, "scores", every, EvaluationReport, make, what="the scores")
        references = _references(config, prepared, store, folder)
        reports = []
        for model in models:
            own = {suite: found[key] for suite, key in keys[model.name].items()}
            if reused := [name for name in keys[model.name] if name not in lacking[model.name]]:
                log.info("%s was scored before on %s: reused (same data, same code)", model.name, ", ".join(reused))
            places = {suite: store.made("scores", key) for suite, key in keys[model.name].items()}
            reports.append(_placed(own, places, references, folder / model.name, model, reused=not lacking[model.name]))
            log.info("%s: %s", model.name, _in_words(reports[-1]))
    _write_summaries(folder)
    return reports


def _in_words(report: EvaluationReport) -> str:
    return ", ".join(
        f"{name} {scores.primary} {scores.metrics[scores.primary]:.4f}" for name, scores in report.suites.items()
    )


def scores_fingerprint(
    model: ModelUnderTest, suite: str, config: EvaluationConfig, data: Sequence[PreparedSet], device: Device = "cpu",
    prompts: SuitePrompts | None = None,
) -> str:  # fmt: skip
    """What determines the scores on a suite: weights and how they are loaded, rows, the suite and its prompts,
    settings, code, versions, device. Other suites do not: a model's numbers on one do not depend on which others are
    scored with it.
    """
    base = model.base
    loading = None if base is None else (base.max_seq_length, base.pooling, base.prompts)
    rows = [
        (item.digest, "" if item.clean_rows is None else item.clean_rows.read_text())
        for item in data
        if item.name == suite
    ]
    settings = config.model_dump(include={"resamples", "confidence", "seed"}, mode="json")
    asked = (suite, config.suites[suite].model_dump(mode="json"), prompts or SuitePrompts())
    found = {name: version for name, version in versions().items() if name in LIBRARIES}
    code = code_of(WORKER, type(config.suites[suite]).__module__)
    return fingerprint(model.digest, loading, rows, asked, settings, code, found, device)


def _lacking(keys: Mapping[str, Mapping[str, str]], missing: Iterable[str]) -> dict[str, list[str]]:
    """By model, the suites to score it on; of two models with the same scores only the first is scored."""
    left = set(missing)
    lacking = {}
    for model, by_suite in keys.items():
        lacking[model] = [suite for suite, key in by_suite.items() if key in left]
        left -= set(by_suite.values())
    return lacking


def _scored_by_a_child(
    models: Sequence[ModelUnderTest], lacking: Mapping[str, Sequence[str]], keys: Mapping[str, Mapping[str, str]],
    folders: Mapping[str, Path], spec: EvaluationSpec, folder: Path,
) -> dict[str, EvaluationReport]:  # fmt: skip
    """The report of each model on each suite that it lacks, by key; all are scored in one child, as `spec` has it."""
    folder.mkdir(parents=True, exist_ok=True)
    reports = {}
    with tempfile.TemporaryDirectory(prefix=".scores.", dir=folder) as scratch:
        specs = []
        for model in models:
            if lacking[model.name]:
                made = Path(scratch) / model.name
                made.mkdir()
                specs.append(
                    ModelSpec(
                        name=model.name, path=model.path, digest=model.digest, folder=made, base=model.base,
                        suites=tuple(lacking[model.name]),
                    )
                )  # fmt: skip
        asked = spec.model_copy(update={"models": tuple(specs)})
        _run_worker(asked, folder, ", ".join(one.name for one in specs))
        for one in specs:
            whole = EvaluationReport.load(report_file(one.folder))
            for suite in lacking[one.name]:
                key = keys[one.name][suite]
                reports[key] = _of_one_suite(whole, suite, one.folder, folders[key])
    return reports


def _references(
    config: EvaluationConfig, data: tuple[PreparedSet, ...], store: Workspace, folder: Path
) -> dict[str, Reference]:
    """What the suites are compared with, by suite: found by rows, suite and code, else scored in a child.

    The files of per-row values lie in `<folder>/<reference>/`.
    """
    digests = {item.name: item.digest for item in data}
    libraries = [metadata.version(name) for name in ("numpy", "bm25s")]
    keys = {
        name: fingerprint(
            name, suite.model_dump(mode="json"), digests[name], code_of(WORKER, type(suite).__module__), libraries
        )
        for name, suite in config.suites.items()
        if suite.reference
    }

    def make(folders: Mapping[str, Path]) -> dict[str, Reference]:
        lacking = {name: folders[key] for name, key in keys.items() if key in folders}
        spec = EvaluationSpec(models=(), config=config, data=data, references=lacking)
        _run_worker(spec, folder, ", ".join(config.suites[name].reference for name in lacking))
        return {keys[name]: Reference.load(reference_file(place)) for name, place in lacking.items()}

    found = find_or_make_all(store, "references", keys.values(), Reference, make, what="the reference scores")
    placed = {}
    for name, key in keys.items():
        target = folder / found[key].name
        target.mkdir(parents=True, exist_ok=True)
        link_or_copy(found[key].pairs, target / found[key].pairs.name)
        placed[name] = with_paths(found[key], found[key].pairs.parent, target)
    return placed


def _run_worker(spec: EvaluationSpec, folder: Path, what: str) -> None:
    """Let a child do what `spec` says; its log is `<folder>/worker.log`, `what` it scores is for messages."""
    folder.mkdir(parents=True, exist_ok=True)
    worker_log = folder / "worker.log"
    with tempfile.TemporaryDirectory(prefix=".spec.", dir=folder) as scratch:
        command = python_module(WORKER, str(spec.write(Path(scratch) / "spec.json")))
        ended = run_child(command, worker_log, environment=_environment(spec.config))
    if ended.code == Refused.exit_code:
        raise ModelError(last_lines(worker_log, 1))
    if ended.code != 0:
        raise EvaluationFailed(
            f"the evaluation of {what} ended with code {ended.code}; the end of {worker_log}:\n{last_lines(worker_log)}"
        )


def _say_what_begins(missing: Mapping[str, Sequence[str]], data: Sequence[PreparedSet]) -> None:
    rows = {item.name: f"{item.name} ({item.rows:,} rows)" for item in data}
    for model, suites in missing.items():
        if suites:
            log.info("evaluating %s on %s", model, ", ".join(rows.get(name, name) for name in suites))


def _of_one_suite(whole: EvaluationReport, suite: str, made: Path, folder: Path) -> EvaluationReport:
    """The report of one suite alone, whose files go from where the child left them to `folder`."""
    _place_files(suite, made, folder)
    scores = with_paths(whole.suites[suite], made, folder)
    return whole.model_copy(update={"suites": {suite: scores}, "seconds": whole.seconds / len(whole.suites)})


def _place_files(suite: str, source: Path, target: Path) -> None:
    for path in sorted(source.glob(f"{suite}.*")):  # a suite's name holds no dot
        link_or_copy(path, target / path.name)


def _environment(config: EvaluationConfig) -> dict[str, str]:
    chosen = process_environment()
    if len(suites_of_rows(config.suites)) < len(config.suites):
        # A suite that brings its own data may have to fetch it.
        return {name: value for name, value in chosen.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
    return chosen


def _placed(
    found: Mapping[str, EvaluationReport], places: Mapping[str, Path], references: Mapping[str, Reference],
    target: Path, model: ModelUnderTest, *, reused: bool,
) -> EvaluationReport:  # fmt: skip
    """One report of the suites in `found`; files at `target`, with paths and the model's name as they are there."""
    shutil.rmtree(target, ignore_errors=True)  # an older evaluation of this run, by an earlier attempt
    target.mkdir(parents=True)
    for suite, place in places.items():
        _place_files(suite, place, target)
    suites = {
        suite: with_paths(report.suites[suite], places[suite], target).model_copy(
            update={"reference": references.get(suite)}
        )
        for suite, report in found.items()
    }
    measured = [report.latency for report in found.values() if report.latency is not None]
    latency = min(measured, key=lambda one: one.milliseconds, default=None)
    first = next(iter(found.values()))
    report = first.model_copy(
        update={
            "model": model.name, "model_path": model.path, "suites": suites, "reused": reused, "latency": latency,
            "latency_milliseconds": latency.milliseconds if latency else None,
            "seconds": sum(one.seconds for one in found.values()),
        }
    )  # fmt: skip
    for name, scores in suites.items():
        scores.write(target / f"{name}.json")
    report.write(report_file(target))
    return report


def _write_summaries(folder: Path) -> None:
    """`<folder>/<suite>.json`: the scores of every model that has a report in the folder."""
    found = (EvaluationReport.load_or_none(path) for path in sorted(folder.glob("*/report.json")))
    reports = [report for report in found if report is not None]
    for suite in dict.fromkeys(suite for report in reports for suite in report.suites):
        lines = [
            f'  "{report.model}": {report.suites[suite].model_dump_json()}'
            for report in reports
            if suite in report.suites
        ]
        write_text_atomically(folder / f"{suite}.json", "{\n" + ",\n".join(lines) + "\n}\n")
