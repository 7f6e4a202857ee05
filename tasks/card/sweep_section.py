"""What the card says of a sweep: of how many trials these settings are the best, and on which rows they were chosen."""

from __future__ import annotations

import statistics

from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Sentence, sentence
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.sweeps import SweepSummary


class SweepSection(Record):
    """How the settings were chosen."""

    chosen: Sentence
    """Among how many, on what, and what that does to the score there."""
    confirmed: Sentence | None
    """What the best trials scored under other seeds."""


def sweep_section(evidence: Evidence) -> SweepSection | None:
    """The section; None where the settings do not come from a sweep."""
    sweep = evidence.sweep
    if sweep is None:
        return None
    return SweepSection(chosen=_chosen(evidence, sweep), confirmed=_confirmed(evidence, sweep))


def _chosen(evidence: Evidence, sweep: SweepSummary) -> Sentence:
    source = evidence.source("SweepSummary", suite=sweep.suite)
    return sentence(
        "The settings of this model are those of the best of ", source.fact("sweep.trials", sweep.trials, "count"),
        " trials of a sweep over ", source.fact("sweep.fields", ", ".join(sweep.fields)), ". They were chosen by ",
        sweep.metric, " on ", sweep.suite, ", where the best trial scored ",
        source.fact("sweep.score", sweep.score, "score"), "; the median of the ",
        source.fact("sweep.complete", len(sweep.scores), "count"), " trials that ran to their end is ",
        source.fact("sweep.median", statistics.median(sweep.scores), "score"), " (",
        source.fact("sweep.pruned", sweep.pruned, "count"), " were ended early, ",
        source.fact("sweep.failed", sweep.failed, "count"), " failed). A score on ", sweep.suite,
        " is raised by that choice and is no evidence of the model's quality. No other suite was looked at before the "
        "choice was made.",
    )  # fmt: skip


def _confirmed(evidence: Evidence, sweep: SweepSummary) -> Sentence | None:
    found = next((one for one in sweep.confirmed if one.number == sweep.chosen), None)
    if found is None:
        return None
    source = evidence.source("SweepSummary", suite=sweep.suite)
    return sentence(
        "The best ", source.fact("sweep.confirmed", len(sweep.confirmed), "count"),
        " trials were trained once more under ", source.fact("sweep.seeds", len(found.scores), "count"),
        " other seeds, and these settings have the best mean: ", source.fact("sweep.mean", found.mean, "score"), ".",
    )  # fmt: skip
