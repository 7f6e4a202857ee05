"""A cheap look at every source: would a fetch give something else than last time?"""

from __future__ import annotations

from collections.abc import Mapping

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import DataConfig
from stsflow.tasks.sources import Access
from stsflow.tasks.suites import Suite, suites_of_rows


def source_states(data: DataConfig, suites: Mapping[str, Suite]) -> dict[str, str]:
    """State of each source, by `training set NAME` or `suite NAME`: revision, ETag or hash. Fetches nothing large."""
    downloads = Workspace.here().downloads
    access = Access(data.root, downloads, data.download_timeout_seconds, data.download_retries)
    states = {f"training set {name}": section.source.state(access) for name, section in data.train.items()}
    return states | {f"suite {name}": suite.source.state(access) for name, suite in suites_of_rows(suites).items()}
