"""`mining`: negatives that are looked for before training."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.ground.schema import LARGEST_SEED, MOST_ROWS, Section
from stsflow.tasks.recipe.sections.bounds import MOST_CANDIDATES, MOST_NEGATIVES, MOST_ROWS_OF_A_BATCH
from stsflow.tasks.recipe.sections.model import ModelConfig
from stsflow.tasks.sources import Source


class CorpusFile(Section):
    """Texts to mine negatives from that are no training set."""

    source: Source
    """Where the texts come from."""
    column: str = "text"
    """Column of the text."""


class MiningConfig(Section):
    """Negatives for the rows of one training set of anchors and positives, mined before training."""

    negatives: int = Field(default=1, ge=1, le=MOST_NEGATIVES)
    """Mined for each row."""
    candidates: tuple[Literal["dense", "bm25"], ...] = Field(default=("dense",), min_length=1)
    """Who finds candidates: `dense` by the similarity of embeddings, `bm25` by words that texts share. Of two each
    finds its own, and they are taken in turns."""
    model: ModelConfig | None = None
    """The model whose embeddings are searched, and judged by where there is no guide; default: the base model."""
    guide: ModelConfig | None = None
    """Another model, whose scores the filters and the audit go by in place of the first one's."""
    corpus: Literal["set", "sets"] = "set"
    """Texts that are searched: the positives of this `set`, or those of all training `sets`."""
    corpus_file: CorpusFile | None = None
    """Texts of a source that are searched instead."""
    depth: int = Field(default=100, ge=1, le=MOST_CANDIDATES)
    """Candidates that each finder gives for an anchor, known positives not counted."""
    skip: int = Field(default=0, ge=0, le=MOST_CANDIDATES)
    """Leave out this many of the nearest that the filters leave."""
    max_score: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Reject candidates with a higher score."""
    min_score: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Reject candidates with a lower score."""
    absolute_margin: float | None = Field(default=None, ge=0, le=1e6)
    """Reject candidates whose score is not at least this much below that of the anchor's positive, of several the one
    with the lowest score."""
    relative_margin: float | None = Field(default=None, ge=0, le=1)
    """The same as a share of that score: 0.05 rejects what lies above 95 % of it."""
    sampling: Literal["top", "random"] = "top"
    """Take the nearest of what is left, or draw from it."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of what is drawn."""
    fewer: Literal["drop", "keep"] = "drop"
    """Rows for which fewer are left: `drop` them, or `keep` them with texts of the corpus drawn at random in the empty
    places, which no filter has seen; known positives are never drawn."""
    replace: bool = False
    """Negatives that the rows have already are replaced; else they stay, and the mined ones follow."""
    exact_up_to: int = Field(default=1_000_000, ge=0, le=MOST_ROWS)
    """A larger corpus is searched through an index (extra `search`), which finds nearly all of the nearest."""
    batch_size: int = Field(default=64, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Texts encoded at a time."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.skip + self.negatives > self.depth * len(set(self.candidates)):
            raise ValueError(
                f"depth: {self.depth} candidates of each finder cannot leave {self.negatives} after skip: {self.skip}"
            )
        return self
