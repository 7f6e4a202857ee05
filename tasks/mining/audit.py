"""What can be doubted of mined negatives, counted: plain numbers and texts in, a record out."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stsflow.tasks.mining.request import Asked
from stsflow.tasks.mining.texts import Texts
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.mining import MinedExample, MiningAudit, Quantiles

EXAMPLES = 20
LONGEST_EXAMPLE = 300
ANCHORS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Mined:
    """What was mined for a set, in numbers of texts."""

    anchors: NDArray[np.int32]
    """(anchors,) distinct ones."""
    anchor_of_row: NDArray[np.intp]
    """(rows,) place in `anchors`."""
    negatives: NDArray[np.int32]
    """(anchors, n), -1 in empty places."""
    scores: NDArray[np.float64]
    """(anchors, n) of the judge."""
    positives: NDArray[np.int32]
    """(rows,) each row's positive."""
    positive_scores: NDArray[np.float64]
    """(rows,) of the judge."""
    keep: NDArray[np.bool_]
    """(rows,) which rows stay."""


def audit(
    prepared: PreparedSet, asked: Asked, mined: Mined, texts: Texts, positives: sparse.csr_matrix, *, similarity: str,
    corpus: int, left_out: dict[str, int], filled: int, candidates: int, rejected: dict[str, int], seconds: float,
) -> MiningAudit:  # fmt: skip
    """The record of one set; `positives` says which texts are known to belong together."""
    rows = np.flatnonzero(mined.keep)
    of_rows = mined.anchor_of_row[rows]
    there = (mined.negatives >= 0)[of_rows]
    scores, score_of_positive = mined.scores[of_rows], mined.positive_scores[rows]
    shares = shares_a_positive(mined.anchors, mined.negatives, positives)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return MiningAudit(
        set=prepared.name, rows_before=prepared.rows, digest_before=prepared.digest, rows=len(rows),
        negatives=asked.config.negatives, dropped=prepared.rows - len(rows), filled=filled,
        candidates_from=tuple(dict.fromkeys(asked.config.candidates)), model=asked.model,
        guide=asked.guide, similarity=similarity,
        exact="dense" not in asked.config.candidates or corpus <= asked.config.exact_up_to,
        corpus=corpus, corpus_left_out=left_out, corpus_source=asked.corpus_file, anchors=len(mined.anchors),
        candidates=candidates, rejected=rejected, mined=int(there.sum()),
        like_positives=int((there & (scores >= score_of_positive[:, None])).sum()),
        share_a_positive=int((there & shares[of_rows]).sum()),
        positive_scores=quantiles(score_of_positive), negative_scores=quantiles(scores[there]),
        examples=_examples(mined, texts, shares), seconds=seconds, peak_memory_bytes=peak,
    )  # fmt: skip


def shares_a_positive(
    anchors: NDArray[np.int32], negatives: NDArray[np.int32], positives: sparse.csr_matrix
) -> NDArray[np.bool_]:
    """(anchors, n), whether the negative has a positive in common with the anchor, or belongs to an anchor that has.

    Those are the texts within three steps of the anchor, when every step leads to a text that belongs with the last.
    """
    found = np.zeros(negatives.shape, bool)
    for start in range(0, len(anchors), ANCHORS_AT_A_TIME):
        some = slice(start, start + ANCHORS_AT_A_TIME)
        one = positives[anchors[some]]
        near = one + one @ positives
        for column in range(negatives.shape[1]):
            numbers = negatives[some, column]
            common = near.multiply(positives[np.maximum(numbers, 0)]).sum(axis=1)
            found[some, column] = (np.asarray(common).ravel() > 0) & (numbers >= 0)
    return found


def quantiles(scores: NDArray[np.float64]) -> Quantiles:
    """Of the scores; NaN where there are none."""
    p5, median, p95 = np.quantile(scores, (0.05, 0.5, 0.95)).tolist() if len(scores) else (np.nan,) * 3
    return Quantiles(p5=p5, median=median, p95=p95)


def _examples(mined: Mined, texts: Texts, shares: NDArray[np.bool_]) -> tuple[MinedExample, ...]:
    """Ten rows whose negative is most like their positive, of as many anchors, and ten evenly spread."""
    scored = np.where(mined.negatives >= 0, mined.scores, -np.inf)
    nearest = scored.argmax(axis=1)
    best = scored[np.arange(len(scored)), nearest]
    rows = np.flatnonzero(mined.keep & np.isfinite(best[mined.anchor_of_row]))
    by_margin = rows[np.argsort(mined.positive_scores[rows] - best[mined.anchor_of_row[rows]], kind="stable")]
    _, first = np.unique(mined.anchor_of_row[by_margin], return_index=True)
    doubted = by_margin[np.sort(first)[: EXAMPLES // 2]]
    left = np.setdiff1d(rows, doubted)
    spread = left[np.linspace(0, max(0, len(left) - 1), min(len(left), EXAMPLES - len(doubted))).astype(np.int64)]
    chosen = np.concatenate([doubted, spread])
    anchors = mined.anchor_of_row[chosen]
    negative = mined.negatives[anchors, nearest[anchors]]
    columns = [_shown(texts, numbers) for numbers in (mined.anchors[anchors], mined.positives[chosen], negative)]
    return tuple(
        MinedExample(
            anchor=anchor, positive=positive, negative=other, positive_score=float(mined.positive_scores[row]),
            negative_score=float(best[place]), shares_a_positive=bool(shares[place, nearest[place]]),
        )
        for anchor, positive, other, row, place in zip(*columns, chosen, anchors, strict=True)
    )  # fmt: skip


def _shown(texts: Texts, numbers: NDArray[np.integer]) -> list[str]:
    found = [" ".join(text.split()) for text in texts.take(numbers).to_pylist()]
    return [text if len(text) <= LONGEST_EXAMPLE else f"{text[: LONGEST_EXAMPLE - 1]}…" for text in found]
