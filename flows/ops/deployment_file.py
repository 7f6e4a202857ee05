"""The deployments of a prefect.yaml: which flow runs when, where, and how many at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule
from prefect.schedules import Cron, Interval, Schedule
from pydantic import Field, ValidationError

import stsflow
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.names import ServiceName
from stsflow.tasks.ground.schema import Section, first_fault
from stsflow.tasks.ground.yaml_text import load_yaml

SHIPPED = Path(stsflow.__file__).with_name("prefect.yaml")
"""The product's own, which is installed with it."""


class ScheduleEntry(Section):
    """A schedule of a deployment in prefect.yaml."""

    slug: str
    cron: str | None = None
    interval: float | None = Field(default=None, gt=0)
    """Seconds; for tests and demonstrations."""
    timezone: str = "UTC"
    active: bool = True

    def schedule(self) -> Schedule:
        """As Prefect takes it; raises ValueError for an illegal cron text or an unknown time zone."""
        if (self.cron is None) == (self.interval is None):
            raise ValueError(f"schedule {self.slug}: give either cron or interval")
        if self.cron is not None:
            CronSchedule(cron=self.cron, timezone=self.timezone)  # checks both texts, which Cron() does not
            return Cron(self.cron, timezone=self.timezone, active=self.active, slug=self.slug)
        return Interval(self.interval or 0, timezone=self.timezone, active=self.active, slug=self.slug)


class PoolEntry(Section):
    """Where a deployment runs."""

    name: ServiceName
    work_queue_name: ServiceName = "training"
    job_variables: dict[str, Any] = {}


class DeploymentEntry(Section):
    """One deployment in prefect.yaml."""

    name: ServiceName
    description: str = ""
    entrypoint: str = Field(pattern=r"^\w+(\.\w+)+$")
    """Dotted: the path form would rename the module and leave its folder on the import path."""
    tags: list[str] = []
    schedules: list[ScheduleEntry] = []
    concurrency_limit: ConcurrencyLimitConfig | None = None
    enforce_parameter_schema: bool = True
    work_pool: PoolEntry
    parameters: dict[str, Any] = {}


def read_deployments(prefect_file: Path) -> list[DeploymentEntry]:
    """The deployments in a prefect.yaml; raises PreconditionError naming the file and what is wrong."""
    try:
        content = load_yaml(prefect_file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PreconditionError(f"{prefect_file} cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("deployments"), list):
        raise PreconditionError(f"{prefect_file} has no list `deployments`.")
    entries = []
    for raw in content["deployments"]:
        label = raw.get("name", "?") if isinstance(raw, dict) else "?"
        try:
            entry = DeploymentEntry.model_validate(raw)
            for schedule in entry.schedules:
                schedule.schedule()
        except ValueError as error:
            said = first_fault(error) if isinstance(error, ValidationError) else error
            raise PreconditionError(f"{prefect_file}, deployment {label}: {said}") from error
        entries.append(entry)
    return entries


def default_file() -> Path:
    """The prefect.yaml of the current folder, else the product's own."""
    here = Path("prefect.yaml")
    return here if here.is_file() else SHIPPED
