"""`data`: the training sets, and what they may share with the rows that models are measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from stsflow.tasks.ground.names import Language, Licence
from stsflow.tasks.ground.schema import MOST_ROWS, Section, Slug
from stsflow.tasks.shapes import Shape
from stsflow.tasks.sources import Source

Policy = Literal["report", "drop", "refuse"]


class TrainingSet(Section):
    """One training data set: where its rows come from and what they become."""

    source: Source
    """Where the rows come from."""
    shape: Shape
    """What the rows become."""
    limit: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Keep this many shaped rows, the first ones; default: all."""
    title: str = ""
    """Name for the card; default: the data set's key in the recipe."""
    language: tuple[Language, ...] = ()
    """Language codes of the texts."""
    license: Licence = ""
    """Licence of the data (SPDX identifier, lower case), such as `cc-by-sa-4.0`."""
    expect_rows: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Raw rows that the source must have; another number is refused."""
    allow_empty_fields: bool = True
    """Rows with an empty sentence are dropped and counted; with `false` they are refused."""


class LeakageConfig(Section):
    """What to do about texts that training and evaluation share, and about contradictions inside a set."""

    shared_pairs: Policy = "report"
    """A training pair that is also an evaluation pair (unordered)."""
    shared_sentences: Policy = "report"
    """A training row with a sentence that occurs in an evaluation set."""
    near_duplicates: Literal["off", "report", "drop", "refuse"] = "off"
    """The same for sentences that are nearly equal (MinHash over character n-grams)."""
    near_duplicate_threshold: float = Field(default=0.55, gt=0.5, le=1.0)
    """Jaccard similarity of character bigrams from which two sentences count as nearly equal. A sentence of eight words
    with one of them replaced lies at about 0.7."""
    conflicting_scores: Policy = "report"
    """The same unordered pair with more than one score inside a training set."""
    duplicate_rows: Policy = "report"
    """The same row more than once inside a training set."""
    normalise: bool = True
    """Report the counts also after NFKC, case folding and removal of punctuation and spacing."""


class DataConfig(Section):
    """The data that the model learns from."""

    root: Path | None = None
    """Folder that relative paths of sources start from; default: the recipe's own folder."""
    train: dict[Slug, TrainingSet] = Field(min_length=1)
    """Training sets by name. The name appears in losses, metrics, plots and the card."""
    leakage: LeakageConfig = LeakageConfig()
    """Overlap of training and evaluation data."""
    download_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """Longest silence of a server before a download is tried again."""
    download_retries: int = Field(default=5, ge=0, le=100)
    """Tries after the first one, with growing pauses."""
