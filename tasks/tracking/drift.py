"""The weekly look in MLflow: a point of each measure on the run that made the model, and the whole record beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stsflow.tasks.records.drift import DriftReport
from stsflow.tasks.tracking.journal import Metrics, Tags
from stsflow.tasks.tracking.sending import send
from stsflow.tasks.tracking.store import Store

DUE = "drift/due"


def record_look(store: Store, run_id: str, report: DriftReport) -> None:
    """Add the look to the run: metrics by its number, `drift/<time>.json`, and the verdict as the tag
    `stsflow.retraining`."""
    step = len(store.client.get_metric_history(run_id, DUE))
    time = int(report.when.timestamp() * 1000)
    values = {DUE: float(report.due)}
    for measure in report.measures:
        values[f"drift/{measure.name}/distance"] = measure.statistic
        values[f"drift/{measure.name}/p_corrected"] = measure.adjusted
    with tempfile.TemporaryDirectory(prefix="drift-") as folder:
        file = report.write(Path(folder) / f"{report.when:%Y%m%d-%H%M%S}.json")
        store.client.log_artifact(run_id, str(file), "drift")
    send(store, run_id, Metrics(points=tuple((name, value, time, step) for name, value in values.items())), Path())
    send(store, run_id, Tags(values={"stsflow.retraining": report.verdict}), Path())


def trained_on(store: Store, run_id: str) -> dict[str, str]:
    """The digest (its beginning) of each training set that the run read, by name."""
    inputs = store.run(run_id).inputs.dataset_inputs if run_id else []
    return {
        one.dataset.name: one.dataset.digest
        for one in inputs
        if "training" in {tag.value for tag in one.tags if tag.key == "mlflow.data.context"}
    }
