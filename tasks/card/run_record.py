"""The record that a run left of itself, for comparison with what its card says."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.evaluation.slices_compared import moved_rows
from stsflow.tasks.ground.errors import StsflowError
from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import RunFolder
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import Differences, EvaluationReport, MovedRows, SeedSummary
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.looks import Account
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import TrainedModel


class RunRecord(Record):
    """Where a run's record lies on this machine, and whose it is."""

    where: str
    """For people: the run's folder in the workspace, or the MLflow run."""
    folder: Path
    run: RunRef


def recorded(record: RunRecord, shipped: Evidence) -> Evidence | None:
    """What the run's own record makes of the card; None when it is damaged or not complete.

    Sample rows and modules are no part of the record: they are those of `shipped`.
    """
    folder = RunFolder(record.folder)
    differences = shipped.differences
    try:
        if folder.differences.is_file():
            differences = Differences.load(folder.differences).items
        base_scores, tuned_scores = (EvaluationReport.load(folder.report(model)) for model in ("base", "tuned"))
        return Evidence(
            recipe=RunConfig.from_recipe(folder.recipe),
            run=record.run,
            data=PreparedData.load(folder.prepared),
            base=BaseModelRef.load(folder.base_model),
            tokens=TokenReport.load(folder.token_report),
            plan=PlanReport.load(folder.plan_report) if folder.plan_report.is_file() else None,
            trained=TrainedModel.load(folder.result),
            base_scores=base_scores,
            tuned_scores=tuned_scores,
            teacher_scores=EvaluationReport.load(teacher) if (teacher := folder.report("teacher")).is_file() else None,
            differences=differences,
            exports=Exports.load(folder.export_report) if folder.export_report.is_file() else None,
            samples=shipped.samples,
            modules=shipped.modules,
            histogram=shipped.histogram,
            seeds=SeedSummary.load(folder.seeds) if folder.seeds.is_file() else None,
            sweep=SweepSummary.load(folder.sweep) if folder.sweep.is_file() else None,
            moved=_moved(folder, base_scores, tuned_scores, shipped),
            account=Account.load(folder.account) if folder.account.is_file() else None,
            pairs={
                f"{path.parent.name}/{path.stem}": sha256_of_file(path)
                for model in ("base", "tuned")
                for path in sorted((folder.evaluation / model).glob("*.parquet"))
            },
        )
    except (OSError, KeyError, ValueError, StsflowError):  # a ValidationError is a ValueError, as Arrow's are
        return None


def _moved(
    folder: RunFolder, base: EvaluationReport, tuned: EvaluationReport, shipped: Evidence
) -> dict[str, MovedRows]:
    """The rows that moved most, by the files of per-row scores where they lie now: a record may come from elsewhere.

    Of a suite whose files are not those that were written, which is named on its own, what was shipped.
    """
    kept, spoiled = {}, set()
    for report in (base, tuned):
        suites = {}
        for name, scores in report.suites.items():
            pairs = folder.evaluation / report.model / f"{name}.parquet"
            digest = sha256_of_file(pairs) if pairs.is_file() else None
            if digest != shipped.pairs.get(f"{report.model}/{name}"):
                spoiled.add(name)
            suites[name] = scores.model_copy(update={"pairs": pairs if digest is not None else None})
        kept[report.model] = suites
    base, tuned = (
        report.model_copy(update={"suites": {n: s for n, s in kept[report.model].items() if n not in spoiled}})
        for report in (base, tuned)
    )
    return moved_rows(base, tuned) | {name: rows for name, rows in shipped.moved.items() if name in spoiled}
