"""What the machine did while a model was trained, under the names that MLflow's own system metrics have: `system/…`.

Sampled in the process that watches the trainer and taken to the journal, as everything else is: a tracker that is away
costs nothing. GPUs are read through NVML where `nvidia-ml-py` is installed.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from stsflow.tasks.tracking.journal import Journal, Metrics, milliseconds

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAMPLES = 30.0
PREFIX = "system/"


class SystemMetrics:
    """Samples of this machine in a run's journal; their step is the whole seconds since the run's first one."""

    def __init__(self, journal: Journal) -> None:
        """Nothing is sampled yet. A run that goes on continues its steps."""
        self.journal = journal
        moments = [
            moment
            for _, entry in journal.after(0)
            if isinstance(entry, Metrics)
            for name, _, moment, _ in entry.points
            if name.startswith(PREFIX)
        ]
        self._first = min(moments, default=None)
        self._monitors: list[BaseMetricsMonitor] = []
        self._sampled_at: float | None = None
        psutil.cpu_percent()  # the use of the processor is what it was since the last time it was asked for

    def sample(self) -> None:
        """Journal one sample, unless the last one was less than half a minute ago."""
        now = time.monotonic()
        if self._sampled_at is not None and now - self._sampled_at < SECONDS_BETWEEN_SAMPLES:
            return
        if self._sampled_at is None:
            self._monitors = _monitors()
        self._sampled_at = now
        moment = milliseconds()
        self._first = moment if self._first is None else self._first
        step = max(0, (moment - self._first) // 1000)
        values: dict[str, float] = {}
        for monitor in self._monitors:
            try:
                monitor.collect_metrics()
                values |= monitor.aggregate_metrics()
                monitor.clear_metrics()
            except (
                Exception
            ) as error:  # what a machine does not tell must cost neither a training nor the other figures
                logger.debug("%s found nothing: %s", type(monitor).__name__, error)
        if values:
            points = tuple((f"{PREFIX}{name}", float(value), moment, step) for name, value in values.items())
            self.journal.append(Metrics(points=points))


def _monitors() -> list[BaseMetricsMonitor]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    found: list[BaseMetricsMonitor] = []
    for monitor in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        with suppress(ImportError, RuntimeError, AttributeError):  # no NVML, no GPU, no counters of a network
            found.append(monitor())
    return found
