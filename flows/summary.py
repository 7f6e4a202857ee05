"""What a run comes down to: for a person on the terminal, for a program as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Literal

from rich.console import Console
from rich.table import Table

from stsflow.tasks.evaluation.guard import guard_outcomes
from stsflow.tasks.evaluation.side_by_side import side_by_side
from stsflow.tasks.exporting.export import in_words
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.card import CardRef
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SuiteScores
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.release import Approval, HubPush, Release, RuleOutcome
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.suites import Suite
from stsflow.tasks.tracking.links import EMBEDDED_PREFECT_VARIABLE, run_page


class ExportSummary(Record):
    """What became of an export."""

    released: bool
    said: str
    """One sentence: what it costs, or why it is not released."""
    folder: Path | None
    """None where it is not released."""


class RunSummary(Record):
    """The result of a run, as `stsflow run --json` prints it."""

    status: Literal["finished"]
    name: str
    recipe: str
    mlflow_run_id: str
    flow_run_id: str
    tracking_uri: str
    experiment_id: str
    run_dir: Path
    model_dir: Path
    card: Path
    metrics: dict[str, float]
    """Final scores by MLflow name, such as `tuned/sts-test/spearman_cosine`."""
    shown: dict[str, tuple[str, ...]]
    """Metrics that a person looks at first, by suite."""
    references: dict[str, str] = {}
    """By suite, what was scored on it without a model, such as `bm25`."""
    headline: str
    """Suite whose score is the headline."""
    gain: dict[str, float | None]
    """Of the headline: base, tuned, difference, low, high."""
    merged: float | None = None
    """Share of the tuned model in the released weights; None where nothing was merged."""
    guard: dict[str, RuleOutcome] = {}
    """By guard suite: whether the tuned model kept it, and why."""
    exports: dict[str, ExportSummary] = {}
    """By name in the recipe."""
    reused: bool
    """The training had finished before; nothing was trained in this run."""
    attempt: int
    promoted: bool
    release: str
    """One sentence: what was registered and whether it was promoted."""
    registered_as: str | None = None
    model_version: str | None = None
    approval: Approval | None = None
    """A person's yes, where one is asked for; `waiting` until somebody answers."""
    hub: HubPush | None = None
    """What lies on the hub; None where nothing was pushed."""


def summarise(
    recipe: RunConfig, run: RunRef, trained: TrainedModel, reports: list[EvaluationReport],
    differences: tuple[Difference, ...], card: CardRef, release: Release, exports: Exports | None = None,
) -> RunSummary:  # fmt: skip
    """The summary of a finished run."""
    before, after, *_ = reports
    rows = side_by_side(before, after, differences)
    head = next(row for row in rows if row.is_primary and row.suite.suite == recipe.headline_suite)
    metrics = {
        f"{report.model}/{suite}/{metric}": value
        for report in reports
        for suite, scores in report.suites.items()
        for metric, value in scores.metrics.items()
    } | {
        f"{reference.name}/{suite}/{metric}": value
        for suite, scores in after.suites.items()
        if (reference := scores.reference) is not None
        for metric, value in reference.metrics.items()
    }
    return RunSummary(
        status="finished", name=run.name, recipe=recipe.name, mlflow_run_id=run.mlflow_run_id,
        flow_run_id=run.flow_run_id, tracking_uri=run.tracking_uri, experiment_id=run.experiment_id,
        run_dir=run.folder, model_dir=run.folder / "model", card=card.path, metrics=metrics,
        shown={name: shown_metrics(scores) for name, scores in after.suites.items()},
        references={name: scores.reference.name for name, scores in after.suites.items() if scores.reference},
        headline=f"{recipe.headline_suite}/{head.metric}",
        gain={
            "base": head.before, "tuned": head.after, "difference": head.paired.difference if head.paired else None,
            "low": head.interval.low if head.interval else None, "high": head.interval.high if head.interval else None,
        },
        merged=trained.merge.chosen if trained.merge else None,
        guard=guard_outcomes(recipe, before, after, differences), reused=trained.reused, attempt=run.attempt,
        exports={
            item.name: ExportSummary(
                released=item.passed, said=in_words(item),
                folder=run.folder / "exports" / item.name if item.passed else None,
            )
            for item in (exports.items if exports else ())
        },
        promoted=release.promoted, release=release.sentence,
        registered_as=release.registered_as, model_version=release.version, approval=release.approval,
    )  # fmt: skip


def shown_metrics(scores: SuiteScores) -> tuple[str, ...]:
    """The suite's metrics that a person looks at first: those of its kind, else all."""
    first = Suite.of(scores.kind).looked_at_first
    return tuple(name for name in first or scores.metrics if name in scores.metrics)


def print_summary(summary: RunSummary, console: Console) -> None:
    """The summary for a person: scores first, then where things are and how to look at them."""
    table = Table(title=f"{summary.name}: base against tuned", title_justify="left", show_edge=False, pad_edge=False)
    references = tuple(dict.fromkeys(summary.references.values()))
    for heading in ("suite", "metric", *references, "base", "tuned", "difference"):
        table.add_column(heading, justify="left" if heading in ("suite", "metric") else "right")
    for suite, metrics in summary.shown.items():
        for metric in metrics:
            rest = f"{suite}/{metric}"
            base, tuned = summary.metrics[f"base/{rest}"], summary.metrics[f"tuned/{rest}"]
            style = "bold" if rest == summary.headline else ""
            others = [summary.metrics.get(f"{name}/{rest}") for name in references]
            beside = ("" if value is None else f"{value:.4f}" for value in others)
            table.add_row(suite, metric, *beside, f"{base:.4f}", f"{tuned:.4f}", f"{tuned - base:+.4f}", style=style)
    console.print()
    console.print(table)
    gain = summary.gain
    if gain["low"] is not None and gain["high"] is not None and gain["difference"] is not None:
        console.print(
            f"\n{summary.headline}: {gain['difference']:+.4f}, 95 % interval [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        )
    if summary.merged is not None:
        console.print(f"merged with the base model: {summary.merged:.0%} of the tuned model")
    for suite, outcome in summary.guard.items():
        kept = "kept" if outcome.holds else "lost"
        console.print(f"guard {suite}: {kept}; {outcome.reason}", soft_wrap=True, highlight=False)
    for name, export in summary.exports.items():
        console.print(f"export {name}: {export.said}", soft_wrap=True, highlight=False)
    if summary.reused:
        console.print("The same training had finished before: its model was reused (--fresh trains again).")
    console.print(f"{summary.release}\n")
    if summary.approval is not None and summary.approval.state == "waiting":
        answer = f"stsflow promote {quote(str(summary.registered_as))}"
        console.print(f"Yes: {answer} --approve --because WHY", soft_wrap=True, highlight=False)
        console.print(f"No:  {answer} --refuse --because WHY\n", soft_wrap=True, highlight=False)
    if summary.hub is not None:
        console.print(f"{summary.hub.sentence}\n", soft_wrap=True, highlight=False)
    places = {
        "model card": summary.card,
        "plots": summary.run_dir / "evaluation",
        "model": summary.model_dir,
        "whole run": summary.run_dir,
    }
    for label, path in places.items():
        console.print(f"  {label + ':':<12} {shown(path)}", soft_wrap=True, highlight=False)
    console.print("\nLook at it:")
    for label, command in look_commands(summary).items():
        console.print(f"  {label + ':':<12} {command}", soft_wrap=True, highlight=False)


def look_commands(summary: RunSummary) -> dict[str, str]:
    """How to open MLflow and Prefect on this run.

    Where no servers run, both are opened by `stsflow up`, which keeps the same stores and asks for a password.
    """
    page = run_page(summary.experiment_id, summary.mlflow_run_id)
    start = f"{_program('stsflow')} up   then, under the address of {{}} that it prints, /{{}}"
    flow_run = f"runs/flow-run/{summary.flow_run_id}"
    commands = {"MLflow": start.format("MLflow", page), "Prefect": start.format("Prefect", flow_run)}
    if summary.tracking_uri.startswith(("http://", "https://")):
        commands["MLflow"] = f"open {quote(summary.tracking_uri.rstrip('/') + '/' + page)}"
    elif str(Workspace.here().mlflow_database) not in summary.tracking_uri:
        commands["MLflow"] = f"{_program('mlflow')} ui --backend-store-uri {quote(summary.tracking_uri)}"
    api = os.environ.get("PREFECT_API_URL")
    if api and EMBEDDED_PREFECT_VARIABLE not in os.environ:
        commands["Prefect"] = f"open {quote(api.removesuffix('/api') + '/' + flow_run)}"
    return commands


def shown(path: Path) -> str:
    """`path` relative to the working directory where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _program(name: str) -> str:
    """`.venv/bin/mlflow` where that is what runs us, else the bare name; quoted for a shell."""
    import sys

    beside = Path(sys.executable).parent / name
    return quote(shown(beside)) if beside.exists() else name
