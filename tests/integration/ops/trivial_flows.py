"""Flows that do next to nothing, for tests of schedule, workers and servers; imported by name by a real worker."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.concurrency.sync import concurrency


@task
def note(folder: str, name: str) -> str:
    """Leave a file, so that a test sees that the run really happened."""
    Path(folder, name).write_text(str(os.getpid()), encoding="utf-8")
    return name


@flow(name="finetune")
def touch(recipe: dict[str, Any]) -> str:
    """Leave a file named after the recipe."""
    return note(recipe["folder"], recipe["name"])


@flow(name="retrain")
def fail(recipe: dict[str, Any]) -> None:
    """Fail with a message that must reach the webhook."""
    raise ValueError(f"no luck with {recipe['name']}")


@flow(name="finetune")
def hold_the_slot(folder: str, name: str, seconds: float) -> None:
    """Hold the GPU slot for some seconds and write down when; a second holder at that time would be a defect."""
    with concurrency("gpu", occupy=1, strict=True, lease_duration=60):
        began = time.time()
        time.sleep(seconds)
        Path(folder, name).write_text(f"{began} {time.time()}", encoding="utf-8")
