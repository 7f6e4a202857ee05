"""Evaluate models: what a flow calls. Heavy work happens in a child process; finished scores are found by content."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tasks.child import last_lines, python_module, run_child
from tasks.config import EvaluationConfig
from tasks.environment import versions
from tasks.errors import EvaluationFailed, ModelError, Refused
from tasks.evaluation.suites import Suite
from tasks.evaluation.worker import EvaluationSpec, ModelSpec, report_file
from tasks.files import folder_made_whole, link_or_copy, write_text_atomically
from tasks.fingerprint import code_of, fingerprint
from tasks.models.hardware import AskedDevice, Device, choose_device
from tasks.models.process_environment import process_environment
from tasks.records import BaseModelRef, EvaluationReport, PreparedData, PreparedSet, SuiteScores
from tasks.seal import SEAL, seal, what_is_wrong
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

# What the numbers depend on besides model, data and settings.
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy", "mteb")
CODE = ("evaluation", "models", "statistics", "data/shapes.py")
"""Where the code lies that turns a model and rows into scores; that of models makes the embeddings."""


@dataclass(frozen=True)
class ModelUnderTest:
    """A model to evaluate."""

    name: str
    """`base`, `tuned`, or what the person calls it; names a folder."""
    path: Path
    digest: str
    """SHA-256 over the model folder without its README.md."""
    base: BaseModelRef | None = None
    """For a base model: how the recipe wants it loaded (length, pooling)."""


def evaluate_model(
    name: str,
    model_path: Path,
    model_digest: str,
    suites: Mapping[str, Suite],
    data: PreparedData,
    config: EvaluationConfig,
    folder: Path,
    *,
    base: BaseModelRef | None = None,
    workspace: Workspace | None = None,
) -> EvaluationReport:
    """One model on `suites`; see `evaluate_models`."""
    model = ModelUnderTest(name, model_path, model_digest, base)
    return evaluate_models([model], suites, data, config, folder, workspace=workspace)[0]


def evaluate_models(
    models: Sequence[ModelUnderTest],
    suites: Mapping[str, Suite],
    data: PreparedData,
    config: EvaluationConfig,
    folder: Path,
    *,
    device: AskedDevice = "auto",
    workspace: Workspace | None = None,
) -> list[EvaluationReport]:
    """Reports of `models` on `suites`, in order, all scored by the same code in one child process.

    Leaves `<folder>/<model>/` with `report.json` and for each suite its scores (`.json`), its per-row scores
    (`.parquet`) and figure (`.png`), and `<folder>/<suite>.json` with the scores of every model in the folder. With a
    workspace, a model that was scored before on the same data with the same settings and code is not run again
    (`reused` is true in its report). Raises PreconditionError for a `device` that is not there, ModelError when a model
    does not load as its files say, EvaluationFailed with the last lines of the child's log for whatever else ends it.
    """
    config = config.model_copy(update={"suites": dict(suites)})
    prepared = tuple(item for item in data.evaluation if item.name in suites)
    chosen = cast("Device", choose_device(device).chosen)
    known = {model.name: _stored(model, config, prepared, workspace, chosen) for model in models}
    missing = [model for model in models if not _is_finished(known[model.name])]
    if missing:
        rows = {item.name: f"{item.name} ({item.rows:,} rows)" for item in prepared}
        names = " and ".join(model.name for model in missing)
        log.info("evaluating %s on %s", names, ", ".join(rows.get(name, name) for name in suites))
        _run_worker(missing, known, config, prepared, folder, chosen)
    reports = []
    for model in models:
        if model not in missing:
            log.info("%s was scored before on the same data, by the same code: reused", model.name)
        stored = known[model.name]
        source = stored if stored is not None else _own_folder(folder, model)
        reports.append(_placed(source, _own_folder(folder, model), model, reused=model not in missing))
        log.info("%s: %s", model.name, _in_words(reports[-1]))
    _write_summaries(folder)
    return reports


def _in_words(report: EvaluationReport) -> str:
    return ", ".join(
        f"{name} {scores.primary} {scores.metrics[scores.primary]:.4f}" for name, scores in report.suites.items()
    )


def scores_fingerprint(
    model: ModelUnderTest, config: EvaluationConfig, data: Sequence[PreparedSet], device: Device = "cpu"
) -> str:
    """What determines a report: weights and how they are loaded, rows, suites, settings, code, versions, device."""
    loading = None if model.base is None else (model.base.max_seq_length, model.base.pooling)
    rows = {item.name: (item.digest, "" if item.clean_rows is None else item.clean_rows.read_text()) for item in data}
    settings = config.model_dump(include={"suites", "resamples", "confidence", "seed"}, mode="json")
    found = {name: version for name, version in versions().items() if name in LIBRARIES}
    return fingerprint(model.digest, loading, rows, settings, code_of(*CODE), found, device)


def _stored(
    model: ModelUnderTest,
    config: EvaluationConfig,
    data: Sequence[PreparedSet],
    workspace: Workspace | None,
    device: Device,
) -> Path | None:
    return None if workspace is None else workspace.base_scores(scores_fingerprint(model, config, data, device))


def _is_finished(folder: Path | None) -> bool:
    """Whether the scores lie there, as they were written; what changed since is deleted, to be made again."""
    if folder is None or not folder.is_dir():
        return False
    if wrong := what_is_wrong(folder):
        log.warning("the scores in %s are made again: %s", folder, wrong)
        shutil.rmtree(folder)
    return not wrong


def _own_folder(folder: Path, model: ModelUnderTest) -> Path:
    return folder / model.name


def _run_worker(
    models: Sequence[ModelUnderTest],
    stored: Mapping[str, Path | None],
    config: EvaluationConfig,
    data: tuple[PreparedSet, ...],
    folder: Path,
    device: Device,
) -> None:
    """Score `models` in one child; each model's folder appears whole when all of them are done."""
    folder.mkdir(parents=True, exist_ok=True)
    worker_log = folder / "worker.log"
    with ExitStack() as whole, tempfile.TemporaryDirectory() as scratch:
        specs = []
        for model in models:
            target = stored[model.name] or _own_folder(folder, model)
            made = whole.enter_context(folder_made_whole(target))
            specs.append(ModelSpec(name=model.name, path=model.path, digest=model.digest, folder=made, base=model.base))
        spec = EvaluationSpec(models=tuple(specs), config=config, data=data, device=device)
        ended = run_child(
            python_module("tasks.evaluation.worker", str(spec.write(Path(scratch) / "spec.json"))),
            worker_log,
            environment=_environment(config),
        )
        if ended.code == Refused.exit_code:
            raise ModelError(last_lines(worker_log, 1))
        if ended.code != 0:
            names = ", ".join(model.name for model in models)
            raise EvaluationFailed(
                f"the evaluation of {names} ended with code {ended.code}; "
                f"the end of {worker_log}:\n{last_lines(worker_log)}"
            )
        for spec_of_one in specs:
            seal(spec_of_one.folder)
        for model in models:
            if stored[model.name] is None:
                # An older evaluation of this run, made by an earlier attempt or with other settings.
                shutil.rmtree(_own_folder(folder, model), ignore_errors=True)


def _environment(config: EvaluationConfig) -> dict[str, str]:
    chosen = process_environment()
    if any(suite.source is None for suite in config.suites.values()):
        # A suite that brings its own data may have to fetch it.
        return {name: value for name, value in chosen.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
    return chosen


def _placed(source: Path, target: Path, model: ModelUnderTest, *, reused: bool) -> EvaluationReport:
    """The report in `source`, its files also at `target`, with paths and the model's name as they are there."""
    if source != target:
        shutil.rmtree(target, ignore_errors=True)
        link_or_copy(source, target)
    (target / SEAL).unlink(missing_ok=True)  # the record that a person opens names other paths than the stored one
    found = EvaluationReport.load(report_file(source))
    suites = {name: _moved(scores, target) for name, scores in found.suites.items()}
    report = found.model_copy(
        update={"model": model.name, "model_path": model.path, "suites": suites, "reused": reused}
    )
    for name, scores in suites.items():
        scores.write(target / f"{name}.json")
    report.write(report_file(target))
    return report


def _moved(scores: SuiteScores, folder: Path) -> SuiteScores:
    places = {field: folder / path.name for field in ("pairs", "plot") if (path := getattr(scores, field)) is not None}
    return scores.model_copy(update=places)


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
