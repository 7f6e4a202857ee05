"""What a promotion is decided on: the candidate, and what it is compared with."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.data import Overlap
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, RecipeDifference


class Candidacy(Record):
    """Measurements of the candidate, of what it is compared with, and of their differences on the same rows."""

    candidate: EvaluationReport
    base: EvaluationReport | None = None
    champion: EvaluationReport | None = None
    """The champion on the same suites and rows; None when there is none yet."""
    differences: tuple[Difference, ...] = ()
    """Candidate minus base and candidate minus champion; `first` and `second` are the reports' model names."""
    recipe_claims: tuple[RecipeDifference, ...] = ()
    """The candidate's recipe against its base model over several seeds, where it was run under several."""
    headline: str
    """Suite that rules look at when they name none."""
    chose_checkpoint: str | None = None
    """Suite that chose the candidate's checkpoint; its score flatters the candidate."""
    turned_down: str | None = None
    """Who turned these weights down, when and why, and how they are let in again; None when nobody did."""
    overlaps: tuple[Overlap, ...] = ()
    """What training and evaluation data share."""

    def difference(self, other: EvaluationReport, suite: str, metric: str) -> Difference | None:
        """Candidate minus `other` on a suite, if it was worked out."""
        wanted = (other.model, self.candidate.model, suite, metric)
        return next((d for d in self.differences if (d.first, d.second, d.suite, d.metric) == wanted), None)
