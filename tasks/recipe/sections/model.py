"""`model`, `prompts` and `teacher`: the models that a run starts from or asks, and what goes before their texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stsflow.tasks.ground.names import Language, Licence, Word
from stsflow.tasks.ground.schema import Dimension, Section, Slug
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.recipe.sections.bounds import MOST_ROWS_OF_A_BATCH
from stsflow.tasks.records.prompts import SuitePrompts


class ModelConfig(Section):
    """A model: the one to start from, or one that helps to train it."""

    source: ModelSource
    """Where the model comes from."""
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Expected SHA-256 of `model.safetensors`; another one is refused."""
    max_seq_length: int | None = Field(default=None, ge=2, le=2**20)
    """Longest input in tokens; longer texts are cut. Default: what the model says."""
    pooling: Literal["keep", "mean", "cls", "max", "lasttoken"] = "keep"
    """`keep` takes the model's own pooling (mean for a plain encoder); anything else takes its place, and whatever
    else the model has stays: prompts, similarity, layers behind the pooling."""
    trust_remote_code: bool = False
    """Run code that the model's repository carries. Needs a hub source, pinned to a full commit hash."""
    language: tuple[Language, ...] = ()
    """Language codes of the model, for the card."""
    license: Licence = ""
    """Licence of the model (SPDX identifier, lower case), for the card."""


class PromptsConfig(Section):
    """Texts that are put before every text that the model reads: in training, in every count of tokens, in evaluation,
    and, as the tuned model keeps them, in use."""

    query: str | None = None
    """Text before queries, and before each text where a row's texts are all alike, as those of scored pairs are; empty:
    none. Default: the base model's own; where that has a default prompt, texts that are alike have that one."""
    document: str | None = None
    """Text before what is not a query: positives and negatives of pairs and triplets, passages; empty: none. Default:
    the base model's own."""
    named: dict[Word, str] = {}
    """Further prompts by name, beside the base model's own."""
    columns: dict[Slug, dict[str, str]] = {}
    """By training set and column, the name of another prompt; empty: none."""
    suites: dict[Slug, SuitePrompts] = {}
    """By suite, the names of other prompts."""


class TeacherConfig(ModelConfig):
    """A model that labels rows of training sets before training, for losses that learn from what it says."""

    sets: tuple[Slug, ...] | None = None
    """Training sets that it labels; default: those whose loss needs a teacher and whose rows bring none."""
    gives: Literal["scores", "embedding"] | None = None
    """A score for each text beside the anchor, or the embedding of the anchor; default: what the set's loss needs."""
    dimension: Dimension | None = None
    """Keep the first so many numbers of its embeddings, for a model with smaller ones; default: all."""
    batch_size: int = Field(default=64, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Pairs or texts that it reads at a time."""
