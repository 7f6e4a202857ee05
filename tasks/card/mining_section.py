"""The card's section on mined negatives: what was searched, what the filters rejected, what is to be doubted."""

from __future__ import annotations

from collections.abc import Iterator

from stsflow.tasks.card.escape import shorten
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, Form, Sentence, sentence
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.mining import MiningAudit

_COUNTS: tuple[tuple[str, str, Form], ...] = (
    ("Rows before", "rows_before", "count"), ("Rows with mined negatives", "rows", "count"),
    ("Rows dropped for want of negatives", "dropped", "count"), ("Negatives mined for a row", "negatives", "count"),
    ("Places filled with texts drawn at random", "filled", "count"), ("Distinct anchors", "anchors", "count"),
    ("Texts searched", "corpus", "count"), ("Candidates looked at", "candidates", "count"),
    ("Mined negatives in all rows", "mined", "count"),
    ("Of them with a score at least as high as the row's positive", "like_positives", "count"),
    ("Of them that share a positive with the row's anchor", "share_a_positive", "count"),
    ("Time", "seconds", "duration"), ("Peak memory", "peak_memory_bytes", "bytes"),
)  # fmt: skip


class MiningBlock(Record):
    """Mined negatives of one training set."""

    title: str
    how: Sentence
    counts: dict[str, Fact]
    """By their labels."""
    scores: dict[str, tuple[Fact, Fact, Fact]]
    """5th percentile, median and 95th percentile of positives and mined negatives."""
    examples: tuple[tuple[Fact, ...], ...]
    """Anchor, positive, mined negative, their two scores."""


def mining_blocks(evidence: Evidence) -> tuple[MiningBlock, ...]:
    """One for each training set with mined negatives."""
    return tuple(_block(evidence, item.title, item.mined) for item in evidence.data.train if item.mined is not None)


def _block(evidence: Evidence, title: str, mined: MiningAudit) -> MiningBlock:
    source = evidence.source(
        "MiningAudit", data_set=mined.set, rows=mined.rows, data_digest=evidence.data.training_set(mined.set).digest
    )
    name = f"mining.{mined.set}"
    finders = {"dense": f"the embeddings of {mined.model.name}", "bm25": "the words that texts share (BM25)"}
    counts = {label: source.fact(f"{name}.{field}", getattr(mined, field), form) for label, field, form in _COUNTS}
    for reason, count in {**mined.corpus_left_out, **mined.rejected}.items():
        label = "Texts of evaluation sets left out" if reason == "evaluation" else f"Candidates rejected: {reason}"
        counts[label] = source.fact(f"{name}.rejected.{reason}", count, "count")
    scores = {
        label: (
            source.fact(f"{name}.{field}.p5", spread.p5, "score"),
            source.fact(f"{name}.{field}.median", spread.median, "score"),
            source.fact(f"{name}.{field}.p95", spread.p95, "score"),
        )
        for label, field, spread in (
            ("Positives", "positive_scores", mined.positive_scores),
            ("Mined negatives", "negative_scores", mined.negative_scores),
        )
    }
    return MiningBlock(
        title=title,
        how=sentence(
            f"Candidates came from {' and '.join(finders[one] for one in mined.candidates_from)}"
            f"{'' if mined.exact else ', through an index that finds nearly all of the nearest'}. Scores are the "
            f"{mined.similarity} similarity by {mined.judge.name}{' (the guide)' if mined.guide else ''}, digest ",
            source.fact(f"{name}.judge_digest", mined.judge.digest), ".",
        ),
        counts=counts, scores=scores,
        examples=tuple(
            tuple(
                source.fact(f"{name}.example.{number}.{column}", value, form)
                for column, value, form in row
            )
            for number, row in enumerate(_examples(mined))
        ),
    )  # fmt: skip


def _examples(mined: MiningAudit) -> Iterator[tuple[tuple[str, str | float, Form], ...]]:
    for one in mined.examples:
        yield (
            ("anchor", shorten(one.anchor), "text"), ("positive", shorten(one.positive), "text"),
            ("negative", shorten(one.negative), "text"),
            ("positive_score", one.positive_score, "score"), ("negative_score", one.negative_score, "score"),
        )  # fmt: skip
