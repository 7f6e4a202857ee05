"""A cheap look at every source: would a fetch give something else than last time?"""

from __future__ import annotations

from collections.abc import Mapping

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import DataConfig, MiningConfig
from stsflow.tasks.sources import Access
from stsflow.tasks.suites import Suite, suites_of_rows


def source_states(
    data: DataConfig, suites: Mapping[str, Suite], mining: Mapping[str, MiningConfig] | None = None
) -> dict[str, str]:
    """State of each source, by `training set NAME`, `suite NAME` or `mining NAME`: revision, ETag or hash. Fetches
    nothing large."""
    downloads = Workspace.here().downloads
    access = Access(data.root, downloads, data.download_timeout_seconds, data.download_retries)
    files = {name: section.corpus_file for name, section in (mining or {}).items() if section.corpus_file is not None}
    states = {f"mining {name}": file.source.state(access) for name, file in files.items()}
    states |= {f"training set {name}": section.source.state(access) for name, section in data.train.items()}
    return states | {f"suite {name}": suite.source.state(access) for name, suite in suites_of_rows(suites).items()}
