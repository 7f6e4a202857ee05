"""Where a base model comes from: one file a kind, all below `ModelSource`."""

from stsflow.tasks.models.sources.directory import DirectoryModel
from stsflow.tasks.models.sources.hub import HubModel
from stsflow.tasks.models.sources.package import PackageModel
from stsflow.tasks.models.sources.source import Located, ModelSource

__all__ = ["DirectoryModel", "HubModel", "Located", "ModelSource", "PackageModel"]
