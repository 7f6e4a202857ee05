"""Measures of ranked retrieval, as trec_eval defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.statistics.correlation import Floats

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Judgements:
    """Which passages are relevant to which queries, and how much; all others are not."""

    queries: Numbers
    """Of each relevant pair, its query's row: ascending, every row from 0 upwards has at least one pair."""
    passages: Numbers
    """Number of its passage: ascending within a row."""
    relevance: Floats
    """Above 0."""
    asked: Numbers
    """Of each row, the number that its query was given by."""

    @classmethod
    def of(cls, queries: Numbers, passages: Numbers, scores: Floats) -> Judgements:
        """From judgements, each a query's number, a passage's number and a score, which is 0 for what is not relevant.

        A query without a relevant passage is left out; of several judgements of one pair the highest counts.
        """
        relevant = np.flatnonzero(scores > 0)
        order = relevant[np.lexsort((-scores[relevant], passages[relevant], queries[relevant]))]
        query, passage = queries[order], passages[order]
        first = np.ones(len(order), bool)
        first[1:] = (query[1:] != query[:-1]) | (passage[1:] != passage[:-1])
        asked, rows = np.unique(query[first], return_inverse=True)
        return cls(rows, passage[first], scores[order][first], asked)

    def measures(self, ranked: Numbers, wanted: Sequence[str]) -> dict[str, Floats]:
        """Each of the `wanted` measures for every row; `ranked`, (rows, depth), holds its passages, nearest first, and
        -1 where there are no more.

        A measure is called `<name>_at_<k>` and looks at the first k: `ndcg` (gain = relevance, discount log2(rank +
        1)); `mrr`, one over the rank of the first relevant passage; `map`, the precisions at the ranks of relevant
        passages, summed and divided by the number of all that are; `recall`, a share of all; `precision`, a share of k.
        """
        width = int(max(ranked.max(initial=0), self.passages.max(initial=0))) + 1
        keys = self.queries * width + self.passages
        asked = np.arange(len(ranked))[:, None] * width + ranked
        place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        gains = np.where((keys[place] == asked) & (ranked >= 0), self.relevance[place], 0.0)
        counts = np.bincount(self.queries, minlength=len(ranked))
        best = np.lexsort((-self.relevance, self.queries))
        ideal = np.zeros((len(ranked), int(counts.max(initial=0))))
        ideal[self.queries[best], np.concatenate([np.arange(count) for count in counts])] = self.relevance[best]
        return {name: _measure(name, gains, ideal, counts) for name in wanted}


def depth_of(measure: str) -> int:
    """How many passages of a ranking it looks at: 10 of `ndcg_at_10`."""
    return int(measure.rpartition("_at_")[2])


def _measure(measure: str, gains: Floats, ideal: Floats, counts: Numbers) -> Floats:
    k = depth_of(measure)
    gains, ideal = gains[:, :k], ideal[:, :k]
    hits = gains > 0
    ranks = np.arange(1, gains.shape[1] + 1)
    match measure.rpartition("_at_")[0]:
        case "ndcg":
            found = _discounted(gains) / _discounted(ideal)
        case "mrr":
            found = np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)
        case "map":
            found = (hits * hits.cumsum(axis=1) / ranks).sum(axis=1) / counts
        case "recall":
            found = hits.sum(axis=1) / counts
        case "precision":
            found = hits.sum(axis=1) / k
        case other:
            raise ValueError(f"there is no measure {other!r}")
    return np.asarray(found, dtype=np.float64)


def _discounted(gains: Floats) -> Floats:
    return np.asarray((gains / np.log2(np.arange(2, gains.shape[1] + 2))).sum(axis=1))
