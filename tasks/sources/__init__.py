"""Where rows come from: files (local or by URL), the Hugging Face hub, the project's own synthetic set,
or queries, passages and judgements in files of their own.

Each kind does three things: `fetch` brings the bytes onto this machine and says what they are, `read` makes columns of
them, and `state` tells cheaply what a fetch would give now.
"""

from __future__ import annotations

from stsflow.tasks.sources.beir import BeirSource
from stsflow.tasks.sources.family import Access, Source
from stsflow.tasks.sources.files import FilesSource
from stsflow.tasks.sources.hub import HubSource
from stsflow.tasks.sources.synthetic import SyntheticSource

__all__ = ["Access", "BeirSource", "FilesSource", "HubSource", "Source", "SyntheticSource"]
