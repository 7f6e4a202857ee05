"""Journal entries carried over to an MLflow run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from stsflow.tasks.ground.errors import RecordRefused
from stsflow.tasks.tracking.journal import (
    Artifacts,
    DatasetInput,
    Entry,
    Finish,
    Metrics,
    Model,
    ModelScores,
    Params,
    Tags,
)
from stsflow.tasks.tracking.refusals import is_refusal
from stsflow.tasks.tracking.store import Store

CUT = " … (cut)"
DATASET_DIGEST_LENGTH = 36
"""Most characters that MLflow keeps of a data set's digest."""
PARAM_LIMIT = 6000
"""Longest value of a parameter that MLflow keeps (`MAX_PARAM_VAL_LENGTH`)."""


def send(store: Store, run_id: str, entry: Entry, folder: Path) -> None:
    """Carry one journal entry over; paths in it are relative to `folder`.

    Sending one twice does no harm, except for metrics (see `known_points`).
    """
    match entry:
        case Metrics():
            _send_metrics(store, run_id, entry.points)
        case Params():
            _send_params(store, run_id, entry.values)
        case Tags():
            _send_tags(store, run_id, entry.values)
        case Artifacts():
            _send_artifacts(store, run_id, folder / entry.path, entry.folder)
        case DatasetInput():
            _send_input(store, run_id, entry)
        case Model():
            _send_model(store, run_id, entry, folder)
        case ModelScores():
            _send_model_scores(store, run_id, entry)
        case Finish():
            store.end_run(run_id, entry.status, entry.reason, entry.log_lines, entry.time)


def known_points(store: Store, run_id: str, names: Iterable[str]) -> set[tuple[str, int]]:
    """(metric, step) of every point that the run has for these metrics."""
    return {(name, point.step) for name in set(names) for point in store.client.get_metric_history(run_id, name)}


def _send_metrics(store: Store, run_id: str, points: Iterable[tuple[str, float, int, int]]) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(name, value, timestamp, step) for name, value, timestamp, step in points]
    for start in range(0, len(metrics), 1000):
        store.client.log_batch(run_id, metrics=metrics[start : start + 1000])


def _send_tags(store: Store, run_id: str, values: Mapping[str, str]) -> None:
    """Set the tags; one that is refused keeps none of the others back, and is raised when they are there."""
    refused: Exception | None = None
    for name, value in values.items():
        try:
            store.client.set_tag(run_id, name, value[:8000])
        except Exception as error:  # whatever MLflow raises: only what it refuses is held back
            if not is_refusal(error):
                raise
            refused = error
    if refused is not None:
        raise refused


def _send_params(store: Store, run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    known = store.client.get_run(run_id).data.params
    params = [
        Param(name, value if len(value) <= PARAM_LIMIT else value[: PARAM_LIMIT - len(CUT)] + CUT)
        for name, value in values.items()
        if name not in known
    ]
    for start in range(0, len(params), 100):
        store.client.log_batch(run_id, params=params[start : start + 100])


def _send_artifacts(store: Store, run_id: str, path: Path, folder: str) -> None:
    if path.is_dir():
        store.client.log_artifacts(run_id, str(path), folder or None)
    elif path.exists():
        store.client.log_artifact(run_id, str(path), folder or None)


def _send_input(store: Store, run_id: str, entry: DatasetInput) -> None:
    from mlflow.entities import Dataset, InputTag
    from mlflow.entities import DatasetInput as Input

    source = {"uri": entry.source, "revision": entry.revision, "sha256": entry.digest}
    dataset = Dataset(
        name=entry.name, digest=entry.digest[:DATASET_DIGEST_LENGTH], source_type="stsflow",
        source=json.dumps(source, ensure_ascii=False),
        profile=json.dumps({"num_rows": entry.rows}), schema=json.dumps({"columns": entry.columns}),
    )  # fmt: skip
    store.client.log_inputs(run_id, datasets=[Input(dataset, [InputTag("mlflow.data.context", entry.context)])])


def _send_model_scores(store: Store, run_id: str, entry: ModelScores) -> None:
    """Log the run's points once more, as those of its model on a data set.

    They have the time and step that the run has them with, so that neither the run nor the model gets a second one,
    however often this is sent. Raises RecordRefused while the run has no such model.
    """
    from mlflow.entities import Metric

    model = store.registry.logged_model(run_id, entry.digest)
    if model is None:
        raise RecordRefused(f"the run {run_id} holds no logged model with digest {entry.digest[:12]} to give scores to")
    metrics = [
        Metric(
            name, point.value, point.timestamp, point.step, model_id=model.model_id, dataset_name=dataset,
            dataset_digest=digest[:DATASET_DIGEST_LENGTH],
        )
        for name, dataset, digest in entry.scores
        for point in store.client.get_metric_history(run_id, name)[-1:]
        if not math.isnan(point.value)  # MLflow ranks by none, and takes none twice
    ]  # fmt: skip
    for start in range(0, len(metrics), 100):  # of more at once MLflow 3.17.2 refuses those that it has
        store.client.log_batch(run_id, metrics=metrics[start : start + 100])


def _send_model(store: Store, run_id: str, entry: Model, folder: Path) -> None:
    """Log the model in a child process (the flavour needs torch, this process must not), then register it.

    A model with this digest that another run of the experiment has logged is linked, not logged again.
    """
    if store.registry.logged_model(run_id, entry.digest) is None and not store.registry.link_model(
        run_id, entry.digest
    ):
        from stsflow.tasks.tracking.model_process import log_model_in_child

        log_model_in_child(store.uri, run_id, folder / entry.path, entry, folder)
    if entry.register_as:
        store.registry.register(run_id, entry, folder)
