"""What the card says of seeds: which claim was tested, of weights or recipe, and the luck in the best of several."""

from __future__ import annotations

from stsflow.tasks.card.evaluation_section import Ends, EvaluationSection
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, Sentence, sentence
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.evaluation import RecipeDifference, SeedSummary
from stsflow.tasks.statistics.seeds import expected_maximum, mean_and_deviation


class ClaimRow(Record):
    """The recipe against its base model on one suite."""

    title: str
    metric: str
    base: Fact
    mean: Fact
    """Over the seeds."""
    deviation: Fact | None
    change: Fact
    interval: Ends | None
    seeds_needed: Fact | None


class SeedsSection(Record):
    """What was claimed of weights and recipe."""

    claim: Sentence
    """Which of the two the card's differences speak of."""
    best: Sentence | None
    """What the best of several seeds owes to luck."""
    rows: tuple[ClaimRow, ...]


def seeds_section(evidence: Evidence, evaluation: EvaluationSection) -> SeedsSection:
    """The section from the summary of seeds; without one, that the claim is of these weights alone."""
    seeds = evidence.seeds
    if seeds is None or len(seeds.scores) < 2:
        return SeedsSection(claim=sentence(_OF_WEIGHTS), best=None, rows=())
    titles = {block.name: block.title for block in evaluation.suites}
    count = evidence.source("SeedSummary").fact("seeds.count", len(seeds.scores), "count")
    told = ". That the recipe is better than the base model was tested apart, over seeds and rows together, with "
    return SeedsSection(
        claim=sentence(_OF_WEIGHTS.removesuffix("."), told, count, " seeds."),
        best=_best(evidence, seeds, count),
        rows=tuple(_row(evidence, claim, titles.get(claim.suite, claim.suite)) for claim in seeds.claims),
    )


_OF_WEIGHTS = (
    "Differences and intervals in this card are those of these weights: the rows were drawn anew, the training was not."
)


def _best(evidence: Evidence, seeds: SeedSummary, count: Fact) -> Sentence:
    source = evidence.source("SeedSummary", suite=seeds.suite)
    mean, deviation = mean_and_deviation(list(seeds.scores.values()))
    return sentence(
        "This model is one of ", count, " runs that differ in the seed only: ",
        f"mean {seeds.metric} on {seeds.suite} ", source.fact("seeds.mean", mean, "score"), ", standard deviation ",
        source.fact("seeds.deviation", deviation, "score"), ", this run (seed ",
        source.fact("seeds.chosen", seeds.chosen, "text"), ") ",
        source.fact("seeds.score", seeds.scores[seeds.chosen], "score"),
        ". The best of that many equal runs lies above their mean by about ",
        source.fact("seeds.inflation", deviation * expected_maximum(len(seeds.scores)), "score"),
        " by chance alone, so that about ",
        source.fact("seeds.expected_best", mean + deviation * expected_maximum(len(seeds.scores)), "score"),
        " is no achievement; quote the mean.",
    )  # fmt: skip


def _row(evidence: Evidence, claim: RecipeDifference, title: str) -> ClaimRow:
    source = evidence.source("SeedSummary", suite=claim.suite, rows=claim.rows)
    name, interval = f"seeds.{claim.suite}.{claim.metric}", claim.interval
    return ClaimRow(
        title=title,
        metric=claim.metric,
        base=source.fact(f"{name}.base", claim.means[0], "score"),
        mean=source.fact(f"{name}.mean", claim.means[1], "score"),
        deviation=source.known(f"{name}.deviation", claim.deviations[1], "score"),
        change=source.fact(f"{name}.change", claim.difference, "change"),
        interval=None
        if interval is None
        else (
            source.fact(f"{name}.low", interval.low, "change"), source.fact(f"{name}.high", interval.high, "change")
        ),
        seeds_needed=source.known(f"{name}.seeds_needed", claim.seeds_needed, "count"),
    )  # fmt: skip
