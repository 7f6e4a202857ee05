"""The card's account of merging: seeds, the curve by weight, and why the weight is what it is."""

from __future__ import annotations

from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, Sentence, sentence
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.merging import MergedSeed, MergePoint


class MergeRow(Record):
    """One weight."""

    weight: Fact
    scores: tuple[Fact, ...]
    """In the order of the section's columns."""
    kept: str
    """Whether it keeps every guard; of the base model that is not asked."""
    is_chosen: bool


class SeedRow(Record):
    """One of several trainings whose mean is the tuned model."""

    seed: Fact
    scores: tuple[Fact, ...]
    """In the order of the section's columns."""
    seconds: Fact


class MergeSection(Record):
    """The curve."""

    names: tuple[str, ...]
    """Suites of the columns by their names in the recipe, the one that chose first."""
    columns: tuple[str, ...]
    """Titles of the suites, with the metric."""
    rows: tuple[MergeRow, ...]
    seeds: tuple[SeedRow, ...]
    choice: Sentence


def merge_section(evidence: Evidence) -> MergeSection | None:
    """The section; None where nothing was merged."""
    merge = evidence.trained.merge
    if merge is None:
        return None
    titles = {name: scores.title for name, scores in evidence.tuned_scores.suites.items()}
    suite = titles.get(merge.suite, merge.suite)
    source = evidence.source("Merge", suite=merge.suite, model_digest=merge.point.model_digest)
    share, best = source.fact("merge.chosen", merge.chosen, "percent"), f"{merge.metrics[merge.suite]} on {suite}"
    if merge.point.keeps_guards:
        among = "the shares that keep every guard" if evidence.recipe.guards else "all shares"
        why = f" of the tuned model's and the rest of its base model's. Of {among}, this one has the highest {best}."
    else:
        why = " of the tuned model's: no share of it keeps every guard, so that it stays as it was trained."
    if merge.suite == evidence.recipe.headline_suite:
        why += " The headline score comes from the same rows, so it is optimistic."
    return MergeSection(
        names=tuple(merge.metrics),
        columns=tuple(f"{titles.get(name, name)}: {metric}" for name, metric in merge.metrics.items()),
        rows=tuple(_row(evidence, point, is_chosen=point.weight == merge.chosen) for point in merge.points),
        seeds=tuple(_seed_row(evidence, one) for one in merge.seeds),
        choice=sentence("Each of the released weights is ", share, why),
    )


def _seed_row(evidence: Evidence, one: MergedSeed) -> SeedRow:
    source, name = evidence.source("Merge", model_digest=one.model_digest), f"merge.seed-{one.seed}"
    return SeedRow(
        seed=source.fact(name, one.seed),
        scores=tuple(source.fact(f"{name}.{suite}", score, "score") for suite, score in one.scores.items()),
        seconds=source.fact(f"{name}.train_seconds", one.train_seconds, "duration"),
    )


def _row(evidence: Evidence, point: MergePoint, *, is_chosen: bool) -> MergeRow:
    source, name = evidence.source("Merge", model_digest=point.model_digest), f"merge.{round(100 * point.weight)}"
    return MergeRow(
        weight=source.fact(name, point.weight, "percent"),
        scores=tuple(source.fact(f"{name}.{suite}", score, "score") for suite, score in point.scores.items()),
        kept=("yes" if point.keeps_guards else "no") if point.guards else "–",
        is_chosen=is_chosen,
    )
