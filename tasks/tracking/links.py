"""Addresses and texts by which a run's two records, in MLflow and in Prefect, lead to each other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from stsflow.tasks.evaluation.side_by_side import Beside, side_by_side
from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.records.evaluation import Difference, EvaluationReport

PUBLIC_URL_VARIABLE = "STSFLOW_MLFLOW_PUBLIC_URL"
"""Where people open MLflow, when that is not the address under which programs reach it."""
EMBEDDED_PREFECT_VARIABLE = "STSFLOW_EMBEDDED_PREFECT"
"""Set in a process whose Prefect server is its own: the server ends with it, and nobody can open a page of it."""
DESCRIPTION_TAG = "mlflow.note.content"
"""What the MLflow UI shows, as markdown, on top of a run or an experiment."""


def mlflow_run_url(tracking_uri: str, experiment_id: str, run_id: str) -> str | None:
    """The run's page in the MLflow UI; None for a store that no server shows."""
    base = without_credentials(os.environ.get(PUBLIC_URL_VARIABLE) or tracking_uri)
    if not base.startswith(("http://", "https://")):
        return None
    return f"{base.rstrip('/')}/{run_page(experiment_id, run_id)}"


def run_page(experiment_id: str, run_id: str) -> str:
    """The run's page, below any server's address. In MLflow's other view, its default, runs have no description."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def curves_page(experiment_id: str, run_id: str, metrics: Sequence[str]) -> str:
    """The chart of these metrics over the run's steps, below any server's address.

    The run's own page sorts its charts by the names of the metrics, which begins with the scores of the base model;
    another order of them is kept in a person's browser alone.
    """
    asked = {"runs": [run_id], "metric": metrics[0], "experiments": [experiment_id], "plot_metric_keys": list(metrics)}
    texts = {name: json.dumps(value, separators=(",", ":")) for name, value in asked.items()}
    return "#/metric?" + "&".join(f"{name}={quote(text, safe='')}" for name, text in texts.items()) + "&x_axis=step"


def run_description(
    text: str, flow_run_url: str | None, curves: str, reports: Iterable[EvaluationReport] = (),
    differences: Iterable[Difference] = (),
) -> str:  # fmt: skip
    """The run's description in MLflow: the recipe's own, the way to the training curves and to Prefect, base against
    tuned once measured.
    """
    # The links come first: of a longer text the UI shows the first lines only.
    links = [f"[Training curves]({curves})", f"[This run in Prefect]({flow_run_url})" if flow_run_url else ""]
    parts = [part for part in (text, " · ".join(link for link in links if link)) if part]
    if measured := tuple(reports):
        before, after, *_ = measured
        parts.append(_scores(side_by_side(before, after, differences)))
    return "\n\n".join(parts)


def _scores(rows: Iterable[Beside]) -> str:
    lines = ["| suite | metric | base | tuned | difference | 95 % interval |", "| --- | --- | --: | --: | --: | :-: |"]
    for row in rows:
        if row.is_primary and row.before is not None and row.change is not None:
            interval = f"{row.interval.low:+.4f} to {row.interval.high:+.4f}" if row.interval else ""
            cells = (row.suite.suite, row.metric, f"{row.before:.4f}", f"**{row.after:.4f}**", f"{row.change:+.4f}")
            lines.append(f"| {' | '.join(cells)} | {interval} |")
    return "\n".join(lines)
