"""Where a run is recorded, who works on it, how it ended."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from stsflow.tasks.ground.schema import Record


class RunRef(Record):
    """Where a run is recorded."""

    name: str
    """Folder name of the run."""
    folder: Path
    recipe_name: str
    recipe_sha256: str
    """Of the resolved recipe."""
    mlflow_run_id: str
    experiment_id: str
    tracking_uri: str
    """Credentials removed."""
    flow_run_id: str = ""
    attempt: int = 1


class RunState(Record):
    """The file run.json: who works on the run, and how it ended."""

    name: str
    recipe_name: str
    recipe_sha256: str
    status: Literal["running", "finished", "failed", "cancelled", "crashed"]
    mlflow_run_id: str
    experiment_id: str
    tracking_uri: str
    flow_run_ids: tuple[str, ...] = ()
    process_id: int
    process_started: float
    """Creation time of that process: a number is used again after a reboot, the pair is not."""
    host: str
    attempt: int = 1
    started: datetime
    ended: datetime | None = None
    reason: str = ""
    training: str | None = None
    """Fingerprint of its training, once known."""
    relayed: int = 0
    """Sequence number of the last event that MLflow has."""
