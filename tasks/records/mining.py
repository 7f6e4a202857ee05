"""What mining did to a training set, and what it found there."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sources import SourceRef


class Quantiles(Record):
    """How scores are spread."""

    p5: float
    median: float
    p95: float


class MinedExample(Record):
    """A row to read."""

    anchor: str
    positive: str
    negative: str
    """The mined negative that is most like the anchor."""
    positive_score: float
    negative_score: float
    shares_a_positive: bool
    """Whether the negative is paired with an anchor that has a positive in common with this one."""


class MinedSets(Record):
    """What mining did to the training sets of a run."""

    sets: tuple[MiningAudit, ...]


class MiningAudit(Record):
    """One training set: what was searched, what each filter rejected, and how much of the rest is to be doubted."""

    set: str
    rows_before: int
    digest_before: str
    """Content of the set before."""
    rows: int
    negatives: int
    """Mined for each row."""
    dropped: int
    """Rows for which too few were found."""
    filled: int
    """Places for which none was found, filled with texts drawn at random."""
    candidates_from: tuple[str, ...]
    model: BaseModelRef
    """The model that searched; whose scores filters and audit go by, where there is no guide."""
    guide: BaseModelRef | None = None
    """The model whose scores they go by."""
    similarity: str
    """Of these scores."""
    exact: bool
    """Whether every anchor was compared with the whole corpus."""
    corpus: int
    """Distinct texts that were searched."""
    corpus_left_out: dict[str, int]
    """Texts of the corpus that were not, by reason."""
    corpus_source: SourceRef | None = None
    anchors: int
    """Distinct anchors."""
    candidates: int
    """Texts that were looked at, all anchors together."""
    rejected: dict[str, int]
    """Of them, by the first filter that rejected them."""
    mined: int
    """Mined negatives in the rows that stayed, all rows together, filled places not counted."""
    like_positives: int
    """Of them, those with a score at least as high as that of the row's positive."""
    share_a_positive: int
    """Of them, those paired with an anchor that has a positive in common with the row's anchor."""
    positive_scores: Quantiles
    negative_scores: Quantiles
    examples: tuple[MinedExample, ...]
    """Those most like their positive first, then rows evenly spread."""
    seconds: float
    peak_memory_bytes: int
    """Of the process that mined, all sets together."""

    @property
    def judge(self) -> BaseModelRef:
        """The model whose scores filters and audit go by."""
        return self.guide or self.model

    @property
    def doubted_share(self) -> float:
        """The larger share of the mined negatives that look like positives, of the two ways of looking."""
        return max(self.like_positives, self.share_a_positive) / max(1, self.mined)
