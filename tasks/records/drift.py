"""What became of the texts that a model reads."""

from __future__ import annotations

from datetime import datetime

from stsflow.tasks.ground.schema import Record


class DriftMeasure(Record):
    """One measure of two samples of texts."""

    name: str
    what: str
    """In words, with what the reference and the window have."""
    statistic: float
    """How far apart they are; 0 where they are alike."""
    p_value: float
    """Of the permutation test of this measure alone."""
    adjusted: float
    """The same, corrected for the number of measures (Holm)."""


class SampleOfTexts(Record):
    """Where texts come from, and how many of them were looked at."""

    source: str
    texts: int
    taken: int
    tokens: float
    """Mean of a text, special tokens and prompt included."""
    unknown_share: float
    """Unknown tokens among all."""
    scripts: dict[str, float]
    """Mean share of each script among a text's letters, the largest first."""


class DriftReport(Record):
    """A window of texts against a reference."""

    model: str
    model_digest: str
    when: datetime
    reference: SampleOfTexts
    window: SampleOfTexts
    measures: tuple[DriftMeasure, ...]
    level: float
    """The chance of at least one false alarm in this look, all measures together."""
    permutations: int
    notes: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[DriftMeasure, ...]:
        """Measures by which the texts are not those of the reference."""
        return tuple(measure for measure in self.measures if measure.adjusted <= self.level)

    @property
    def due(self) -> bool:
        """Whether retraining is due."""
        return bool(self.moved)

    @property
    def verdict(self) -> str:
        """In one sentence."""
        if not self.due:
            least = min(measure.adjusted for measure in self.measures)
            return f"no drift at the level {self.level:g}: the smallest corrected p-value is {least:.4f}"
        found = "; ".join(f"{one.what} (p {one.adjusted:.4f})" for one in self.moved)
        return (
            f"retraining is due: at the level {self.level:g} the texts are others than those of the reference: {found}"
        )
