"""The parent run of a sweep in MLflow: its trials as a table and as points, its best, its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.records.sweeps import SweepSummary, TrialOutcome
from stsflow.tasks.sweeping.space import in_words
from stsflow.tasks.tracking.journal import milliseconds
from stsflow.tasks.tracking.links import DESCRIPTION_TAG
from stsflow.tasks.tracking.store import Store

FOLDER = "sweep"
MOST_ROWS_SHOWN = 50


def record_sweep(
    store: Store, parent: str, summary: SweepSummary, outcomes: Sequence[TrialOutcome], importances: dict[str, float],
    pictures: Iterable[Path],
) -> None:  # fmt: skip
    """Record what came of a sweep. Done again, it adds what is new: a point of MLflow cannot be taken back."""
    from mlflow.entities import Metric

    now, client = milliseconds(), store.client
    trial = f"{FOLDER}/trial_score"
    told = {point.step for point in client.get_metric_history(parent, trial)}
    points = [
        Metric(trial, outcome.score, now, outcome.number + 1)
        for outcome in outcomes
        if outcome.score is not None and outcome.number + 1 not in told
    ]
    values = {f"{FOLDER}/best": summary.score, f"{FOLDER}/trials": float(len(outcomes))}
    values |= {f"{FOLDER}/pruned": float(summary.pruned), f"{FOLDER}/failed": float(summary.failed)}
    values |= {f"{FOLDER}/importance/{key}": share for key, share in importances.items()}
    known = store.run(parent).data.metrics
    points += [Metric(name, value, now, 0) for name, value in values.items() if known.get(name) != value]
    client.log_batch(parent, metrics=points)
    tags = {"stsflow.chosen_trial": str(summary.chosen + 1), "stsflow.environment.optuna": versions().get("optuna", "")}
    store.tag_run(parent, {name: value for name, value in tags.items() if value})
    rows = [_row(outcome, summary) for outcome in outcomes]
    table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    client.log_dict(parent, table, f"{FOLDER}/trials.json")
    store.tag_run(parent, {DESCRIPTION_TAG: _page(rows, summary)})
    for picture in pictures:
        client.log_artifact(parent, str(picture), FOLDER)


def _row(outcome: TrialOutcome, summary: SweepSummary) -> dict[str, Any]:
    score = {f"{summary.suite}/{summary.metric}": outcome.score}
    end = {"state": outcome.state, "reason": outcome.reason, "run": outcome.mlflow_run_id}
    return {"trial": outcome.number + 1, **outcome.settings, **score, **end}


def _page(rows: list[dict[str, Any]], summary: SweepSummary) -> str:
    """The trials as MLflow shows them on top of the run, the best ones first."""
    score = f"{summary.suite}/{summary.metric}"
    columns = ["trial", *summary.fields, score, "state"]
    ordered = sorted(rows, key=lambda row: (row["state"] != "complete", -(row[score] or 0.0)))[:MOST_ROWS_SHOWN]
    lines = [f"| {' | '.join(columns)} |", "| " + " | ".join("---" for _ in columns) + " |"]
    for row in ordered:
        mark = "**" if row["trial"] == summary.chosen + 1 else ""
        shown = row | {name: in_words(row[name]) for name in summary.fields}
        shown |= {score: "" if row[score] is None else f"{row[score]:.4f}"}
        lines.append("| " + " | ".join(f"{mark}{shown[name]}{mark}" for name in columns) + " |")
    first = f"The best of {len(rows)} trials, chosen on {summary.suite}: trial {summary.chosen + 1}."
    return "\n".join([first, "", *lines])
