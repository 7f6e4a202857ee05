"""What a promotion is decided on: the candidate, and what it is compared with."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.data import Overlap
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, RecipeDifference
from stsflow.tasks.records.looks import Claim, Look


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
    best_of: dict[str, int] = {}
    """By digest of a suite's rows: candidates among which this one was chosen by its score on these rows."""
    looks: tuple[Look, ...] = ()
    """What this decision takes of the error budgets of the test sets; none where no gain is claimed."""

    def difference(self, other: EvaluationReport, suite: str, metric: str) -> Difference | None:
        """Candidate minus `other` on a suite, if it was worked out."""
        wanted = (other.model, self.candidate.model, suite, metric)
        return next((d for d in self.differences if (d.first, d.second, d.suite, d.metric) == wanted), None)

    def look(self, claim: Claim) -> Look | None:
        """The look at the suite's rows that judges the claim, if it was taken."""
        return next((look for look in self.looks if look.claim == claim), None)
