"""What the child that mines is asked to do, and what it gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.recipe.sections import MiningConfig
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sources import SourceRef

RESULT = "mined.json"
"""The file with the result in the folder of the mined sets."""


class Asked(Record):
    """What mining one set needs beside the rows."""

    config: MiningConfig
    model: BaseModelRef
    """The model that searches."""
    guide: BaseModelRef | None = None
    """The model that judges, where it is another."""
    prompts: tuple[str, str] = ("", "")
    """What the first model reads before anchors and before what is compared with them."""
    guide_prompts: tuple[str, str] = ("", "")
    """What the guide reads there."""
    symmetric: bool = False
    """Whether both are alike, and not the two sides of a search."""
    corpus_file: SourceRef | None = None
    """What was fetched for `config.corpus_file`."""


class MiningSpec(Record):
    """What the worker is asked to do."""

    train: tuple[PreparedSet, ...]
    evaluation: tuple[PreparedSet, ...]
    asked: dict[str, Asked]
    """By training set."""
    folder: Path
    """Where the rows of the mined sets go."""
    embeddings: Path
    """Where embeddings are kept by their key, also those of a process that was killed."""
    leases: Path
    device: Literal["cpu", "cuda"] = "cpu"


class MiningResult(Record):
    """What came of it: the sets that were asked for, with their negatives."""

    sets: tuple[PreparedSet, ...]
