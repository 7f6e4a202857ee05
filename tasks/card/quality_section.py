"""What the card says of a test set itself: words alone, its labels' noise, rows that repeat; the model between them."""

from __future__ import annotations

from collections.abc import Iterator

from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, FactSource, Sentence, sentence
from stsflow.tasks.records.evaluation import SuiteScores
from stsflow.tasks.records.quality import Agreement, SuiteQuality


def quality_sentences(evidence: Evidence, base: SuiteScores | None, tuned: SuiteScores) -> Iterator[Sentence]:
    """Of a suite: baseline, ceiling and both models between them; rows that repeat. Nothing where nothing is known."""
    prepared = next((item for item in evidence.data.evaluation if item.name == tuned.suite), None)
    if prepared is None or prepared.quality is None:
        return
    told = prepared.quality
    source = evidence.source("PreparedSet", suite=tuned.suite, rows=tuned.rows, data_digest=tuned.data_digest)
    parts: list[Fact | str] = [
        f"By {told.metric} word overlap alone scores ",
        source.fact(f"quality.{tuned.suite}.lexical", told.lexical, "score"),
    ]
    for what, scores in (("base", base), ("tuned", tuned)):
        if scores is not None and told.metric in scores.metrics:
            measured = evidence.source("SuiteScores.metrics", suite=tuned.suite, rows=tuned.rows)
            value = scores.metrics[told.metric]
            parts += [f", the {what} model ", measured.fact(f"{what}.{tuned.suite}.{told.metric}", value, "score")]
    if told.agreement is not None:
        parts += _ceiling(source, told.agreement, tuned.suite)
        parts += _way(evidence, told, told.agreement.ceiling, tuned)
    yield sentence(*parts, ".")
    if told.near:
        yield _repeats(source, told, tuned.suite)


def _ceiling(source: FactSource, told: Agreement, suite: str) -> list[Fact | str]:
    name = f"quality.{suite}"
    return [
        "; noise in the labels lets a model without error reach about ",
        source.fact(f"{name}.ceiling", told.ceiling, "score"), " (the mean of ",
        source.fact(f"{name}.raters", told.raters, "count"), " raters has the reliability ",
        source.fact(f"{name}.reliability", told.reliability, "score"), "), and one rater agrees with the others by ",
        source.fact(f"{name}.rater", told.rater, "score"),
    ]  # fmt: skip


def _way(evidence: Evidence, told: SuiteQuality, ceiling: float, tuned: SuiteScores) -> list[Fact | str]:
    if told.lexical is None or not ceiling > told.lexical or told.metric not in tuned.metrics:
        return []
    way = (tuned.metrics[told.metric] - told.lexical) / (ceiling - told.lexical)
    source = evidence.source("SuiteQuality", suite=tuned.suite, rows=tuned.rows)
    return [
        ". The tuned model has gone ", source.fact(f"quality.{tuned.suite}.way", way, "share"),
        " of the way from word overlap to that ceiling",
    ]  # fmt: skip


def _repeats(source: FactSource, found: SuiteQuality, suite: str) -> Sentence:
    name = f"quality.{suite}"
    return sentence(
        source.fact(f"{name}.near", found.near, "count"), " of its rows say again what an earlier row says (",
        source.fact(f"{name}.repeated", found.repeated, "count"),
        " of them exactly; texts are nearly equal from a Jaccard similarity of ",
        source.fact(f"{name}.threshold", found.threshold, "decimal"),
        " of their character bigrams), so that it holds less evidence than its number of rows says.",
    )  # fmt: skip
