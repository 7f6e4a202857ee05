"""Evaluate models: what a flow calls. Heavy work happens in a child process; finished scores are found by content."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from stsflow.tasks.evaluation.worker import EvaluationSpec, ModelSpec, report_file
from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import EvaluationFailed, ModelError, Refused
from stsflow.tasks.ground.files import folder_made_whole, link_or_copy, write_text_atomically
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.seal import seal, what_is_wrong
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.models.hardware import AskedDevice, Device, choose_device
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import EvaluationReport, SuiteScores
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.suites import Suite

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
    workspace, a suite on which the same model was scored before, on the same data with the same settings and code, is
    not scored again, whatever the other suites are; a report of such suites alone says `reused`. Raises
    PreconditionError for a `device` that is not there, ModelError when a model does not load as its files say,
    EvaluationFailed with the last lines of the child's log for whatever else ends it.
    """
    config = config.model_copy(update={"suites": dict(suites)})
    prepared = tuple(item for item in data.evaluation if item.name in suites)
    chosen = cast("Device", choose_device(device).chosen)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        places = {
            model.name: {
                name: workspace.base_scores(scores_fingerprint(model, name, config, prepared, chosen))
                if workspace
                else Path(scratch) / model.name / name
                for name in suites
            }
            for model in models
        }
        missing = _missing(places)
        for model in models:
            if reused := [name for name in suites if name not in missing[model.name]]:
                log.info("%s was scored before on %s: reused (same data, same code)", model.name, ", ".join(reused))
        if any(missing.values()):
            _run_worker(models, missing, places, config, prepared, folder, chosen)
        reports = []
        for model in models:
            reused_all = not missing[model.name]
            reports.append(_placed(places[model.name], _own_folder(folder, model), model, reused=reused_all))
            log.info("%s: %s", model.name, _in_words(reports[-1]))
    _write_summaries(folder)
    return reports


def _in_words(report: EvaluationReport) -> str:
    return ", ".join(
        f"{name} {scores.primary} {scores.metrics[scores.primary]:.4f}" for name, scores in report.suites.items()
    )


def scores_fingerprint(
    model: ModelUnderTest, suite: str, config: EvaluationConfig, data: Sequence[PreparedSet], device: Device = "cpu"
) -> str:
    """What determines the scores on a suite: weights and how they are loaded, rows, the suite, settings, code,
    versions, device. Other suites do not: a model's numbers on one do not depend on which others are scored with it.
    """
    loading = None if model.base is None else (model.base.max_seq_length, model.base.pooling)
    rows = [
        (item.digest, "" if item.clean_rows is None else item.clean_rows.read_text())
        for item in data
        if item.name == suite
    ]
    settings = config.model_dump(include={"resamples", "confidence", "seed"}, mode="json")
    asked = (suite, config.suites[suite].model_dump(mode="json"))
    found = {name: version for name, version in versions().items() if name in LIBRARIES}
    code = code_of(WORKER, config.suites[suite])
    return fingerprint(model.digest, loading, rows, asked, settings, code, found, device)


def _missing(places: Mapping[str, Mapping[str, Path]]) -> dict[str, list[str]]:
    """By model, the suites without scores; of two models with the same scores only the first has to make them."""
    asked: set[Path] = set()
    missing: dict[str, list[str]] = {}
    for model, by_suite in places.items():
        missing[model] = [name for name, place in by_suite.items() if place not in asked and not _is_finished(place)]
        asked.update(by_suite[name] for name in missing[model])
    return missing


def _is_finished(folder: Path) -> bool:
    """Whether the scores lie there, as they were written; what changed since is deleted, to be made again."""
    if not folder.is_dir():
        return False
    if wrong := what_is_wrong(folder):
        log.warning("the scores in %s are made again: %s", folder, wrong)
        shutil.rmtree(folder)
    return not wrong


def _own_folder(folder: Path, model: ModelUnderTest) -> Path:
    return folder / model.name


def _run_worker(
    models: Sequence[ModelUnderTest],
    missing: Mapping[str, Sequence[str]],
    places: Mapping[str, Mapping[str, Path]],
    config: EvaluationConfig,
    data: tuple[PreparedSet, ...],
    folder: Path,
    device: Device,
) -> None:
    """Score each model on the suites that it lacks, all in one child; each suite's folder appears whole."""
    folder.mkdir(parents=True, exist_ok=True)
    worker_log = folder / "worker.log"
    _say_what_begins(missing, data)
    with tempfile.TemporaryDirectory(prefix=".scores.", dir=folder) as scratch:
        specs = []
        for model in models:
            if missing[model.name]:
                made = Path(scratch) / model.name
                made.mkdir()
                specs.append(
                    ModelSpec(
                        name=model.name, path=model.path, digest=model.digest, folder=made, base=model.base,
                        suites=tuple(missing[model.name]),
                    )
                )  # fmt: skip
        spec = EvaluationSpec(models=tuple(specs), config=config, data=data, device=device)
        ended = run_child(
            python_module(WORKER, str(spec.write(Path(scratch) / "spec.json"))),
            worker_log,
            environment=_environment(config),
        )
        if ended.code == Refused.exit_code:
            raise ModelError(last_lines(worker_log, 1))
        if ended.code != 0:
            names = ", ".join(one.name for one in specs)
            raise EvaluationFailed(
                f"the evaluation of {names} ended with code {ended.code}; "
                f"the end of {worker_log}:\n{last_lines(worker_log)}"
            )
        for one in specs:
            _keep_by_suite(one.folder, places[one.name])


def _say_what_begins(missing: Mapping[str, Sequence[str]], data: Sequence[PreparedSet]) -> None:
    rows = {item.name: f"{item.name} ({item.rows:,} rows)" for item in data}
    for model, suites in missing.items():
        if suites:
            log.info("evaluating %s on %s", model, ", ".join(rows.get(name, name) for name in suites))


def _keep_by_suite(made: Path, places: Mapping[str, Path]) -> None:
    """Put what the child left of one model into a sealed folder for each suite, with a report of that suite alone."""
    whole = EvaluationReport.load(report_file(made))
    for suite, scores in whole.suites.items():
        with folder_made_whole(places[suite]) as target:
            for path in sorted(made.glob(f"{suite}.*")):  # a suite's name holds no dot
                link_or_copy(path, target / path.name)
            moved = _moved(scores, places[suite])
            moved.write(target / f"{suite}.json")
            report = whole.model_copy(update={"suites": {suite: moved}, "seconds": whole.seconds / len(whole.suites)})
            report.write(report_file(target))
            seal(target)


def _environment(config: EvaluationConfig) -> dict[str, str]:
    chosen = process_environment()
    if any(suite.source is None for suite in config.suites.values()):
        # A suite that brings its own data may have to fetch it.
        return {name: value for name, value in chosen.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
    return chosen


def _placed(sources: Mapping[str, Path], target: Path, model: ModelUnderTest, *, reused: bool) -> EvaluationReport:
    """One report of the suites in `sources`; files at `target`, with paths and the model's name as they are there."""
    shutil.rmtree(target, ignore_errors=True)  # an older evaluation of this run, by an earlier attempt
    target.mkdir(parents=True)
    found = {}
    for suite, source in sources.items():
        for path in sorted(source.glob(f"{suite}.*")):
            link_or_copy(path, target / path.name)
        found[suite] = EvaluationReport.load(report_file(source))
    suites = {suite: _moved(report.suites[suite], target) for suite, report in found.items()}
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
