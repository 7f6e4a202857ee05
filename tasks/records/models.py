"""The base model as it was found."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationInfo, field_validator

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.records.prompts import Prompts


class BaseModelRef(Record):
    """A base model on the local disk."""

    name: str
    """For people and the card: a hub id where there is one."""
    kind: str
    """Kind of source that it came from."""
    model_kind: str = "bi_encoder"
    """Kind of model that it is."""
    path: Path
    """Folder to load from, without the network."""
    revision: str
    """Commit, package version, or content digest."""
    digest: str
    """SHA-256 over the folder's files."""
    weights_sha256: str
    """SHA-256 of model.safetensors (of the index and its parts, when sharded)."""
    architecture: str
    """`model_type` of its config.json."""
    parameters: int
    """Weights in the safetensors headers."""
    dimension: int
    """Size of an embedding."""
    position_limit: int | None
    """Longest input that the architecture can take, in tokens; None when it has no limit."""
    max_seq_length: int
    """Longest input in tokens in this run: the recipe's, else the model's own."""
    pooling: str
    """`keep`, or the fresh pooling that the recipe asked for."""
    prompts: Prompts = Prompts()
    """What goes before its texts in this run: the recipe's prompts, else the model's own."""
    trained_with: Prompts = Prompts()
    """The prompts that it was made with, as far as its configuration or its name says so."""
    trust_remote_code: bool = False
    language: tuple[str, ...] = ()
    license: str = ""

    @field_validator("kind", "model_kind")
    @classmethod
    def _is_a_kind(cls, value: str, field: ValidationInfo) -> str:
        family: type[Kind] = ModelSource if field.field_name == "kind" else ModelKind
        if value not in (known := family.names()):
            raise ValueError(f"found {value!r}; allowed: {', '.join(known)}")
        return value
