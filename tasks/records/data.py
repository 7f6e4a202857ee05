"""Sources, prepared sets, and what sets share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.mining import MiningAudit
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.quality import SuiteQuality
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.records.teaching import Teaching
from stsflow.tasks.shapes import Roles, Shape


class RowCounts(Record):
    """What became of the rows: read = shaped from + dropped, for each reason."""

    read: int
    """Raw rows in the source."""
    dropped: dict[str, int] = {}
    """Raw rows that were left out, by reason (`empty`, `duplicate`, …)."""
    kept: int
    """Shaped rows in the prepared set."""
    notes: dict[str, int] = {}
    """Other counts that explain `kept`, such as `sentences_without_contradiction` or `over_limit`."""


class PreparedSet(Record):
    """One data set, shaped and on disk as an Arrow folder (`datasets.load_from_disk` reads it)."""

    name: str
    """Its key in the recipe."""
    role: Literal["train", "evaluation"]
    shape: str
    """Kind of shape."""
    title: str
    """Name for people: the recipe's title, or the key."""
    path: Path
    """Arrow folder."""
    columns: tuple[str, ...]
    """Columns on disk, in order: those that the shape has a role for, and what was kept beside them."""
    digest: str
    """SHA-256 over columns and rows in order: the content, however it is stored."""
    rows: int
    counts: RowCounts
    source: SourceRef
    split: str = ""
    language: tuple[str, ...] = ()
    license: str = ""
    roles: Roles
    """The columns that a loss or a suite takes, by what they are for."""
    mined: MiningAudit | None = None
    """Training sets: how its negatives were mined; None where none were."""
    teaching: Teaching | None = None
    """Training sets: how its rows were labelled by a teacher; None where they were not."""
    quality: SuiteQuality | None = None
    """Evaluation sets: what is known of the rows by themselves, where the suite can tell."""
    clean_rows: Path | None = None
    """Evaluation sets: JSON list of the rows (numbers from 0) that share nothing with any training set."""

    @model_validator(mode="before")
    @classmethod
    def _as_its_shape_says(cls, value: Any) -> Any:
        """A record without roles has those of its shape."""
        if isinstance(value, dict) and "roles" not in value and value.get("shape") in Shape.names():
            return {**value, "roles": Shape.named(value["shape"]).roles}
        return value

    @field_validator("shape")
    @classmethod
    def _is_a_shape(cls, value: str) -> str:
        return Shape.known(value)


class OverlapLevels(Record):
    """What two sets share, in each sense of equality that was measured."""

    exact: OverlapCounts
    """Texts compared after strip."""
    normalised: OverlapCounts | None = None
    """Texts compared after NFKC, case folding and removal of punctuation and spacing."""
    near: OverlapCounts | None = None
    """Texts whose character n-grams nearly agree; None when not looked for."""

    @property
    def widest(self) -> tuple[str, OverlapCounts]:
        """The widest sense of equality that was measured, in words, and its counts; it includes the narrower ones."""
        if self.near is not None:
            return "equal or nearly equal", self.near
        if self.normalised is not None:
            return "equal after normalisation", self.normalised
        return "equal", self.exact

    @property
    def equal(self) -> OverlapCounts:
        """The counts of equal texts: after normalisation where that was measured, else exactly."""
        return self.normalised or self.exact


class Overlap(OverlapLevels):
    """What one training set and one evaluation set share."""

    train: str
    evaluation: str


class SuiteOverlap(OverlapLevels):
    """What two evaluation sets share, counted from the side of the second."""

    first: str
    second: str


class OverlapCounts(Record):
    """Counts of an overlap, from the side of the evaluation set."""

    pairs: int
    """Distinct unordered evaluation pairs that are also a training pair."""
    sentences: int
    """Distinct evaluation sentences that occur in training."""
    rows: int
    """Evaluation rows of which at least one side occurs in training."""
    of_rows: int
    """Evaluation rows in all."""


class PreparedData(Record):
    """All data sets of a run."""

    fingerprint: str
    """Of everything that determines the rows."""
    train: tuple[PreparedSet, ...]
    evaluation: tuple[PreparedSet, ...]
    overlaps: tuple[Overlap, ...] = ()
    suite_overlaps: tuple[SuiteOverlap, ...] = ()
    """Ordered pairs of evaluation sets that share a sentence."""
    findings: tuple[Finding, ...] = ()

    @property
    def teacher(self) -> BaseModelRef | None:
        """The model that labelled training rows; None where none did."""
        return next((item.teaching.teacher for item in self.train if item.teaching is not None), None)

    def training_set(self, name: str) -> PreparedSet:
        """The training set called `name`."""
        return next(item for item in self.train if item.name == name)

    def evaluation_set(self, name: str) -> PreparedSet:
        """The evaluation set called `name`."""
        return next(item for item in self.evaluation if item.name == name)
