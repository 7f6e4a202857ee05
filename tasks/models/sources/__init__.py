"""Where a base model comes from: one file a kind, all below `ModelSource`."""

from stsflow.tasks.models.sources.directory import DirectoryModel
from stsflow.tasks.models.sources.family import Located, ModelSource
from stsflow.tasks.models.sources.hub import HubModel
from stsflow.tasks.models.sources.package import PackageModel

__all__ = ["DirectoryModel", "HubModel", "Located", "ModelSource", "PackageModel"]
