"""Judged pairs as a search: the queries to ask, the corpus to ask them of, and how good what is found is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stsflow.tasks.search import Nearest
from stsflow.tasks.search.dense import nearest
from stsflow.tasks.sets.texts import ArrowTexts, numbered_texts
from stsflow.tasks.statistics.correlation import Floats
from stsflow.tasks.statistics.ranking import Judgements, Numbers, depth_of
from stsflow.tasks.statistics.similarity import Embed


@dataclass(frozen=True)
class JudgedSearch:
    """The queries that have a relevant passage, and every distinct passage; equal texts are one."""

    queries: list[str]
    passages: ArrowTexts
    judgements: Judgements
    """Of `queries`, by their place, and `passages`, by theirs."""
    rows_of_queries: Numbers
    """Of every row, the number of its query; `judgements.asked` are those of `queries`."""

    @classmethod
    def of(cls, rows: pa.Table) -> JudgedSearch:
        """From rows of sentence1 (the query, or an empty text), sentence2 (the passage) and score."""
        (asked, queries), (given, passages) = (numbered_texts(rows, [name]) for name in ("sentence1", "sentence2"))
        of_query, of_passage = asked[:, 0].astype(np.int64), given[:, 0].astype(np.int64)
        judged = Judgements.of(of_query, of_passage, rows["score"].to_numpy())
        return cls(queries.take(judged.asked).to_pylist(), passages, judged, of_query)

    def measures(self, found: Iterable[Nearest], wanted: Sequence[str]) -> dict[str, Floats]:
        """Each of the `wanted` measures of every query, from what was `found` for the queries, in order."""
        return self.judgements.measures(np.concatenate([block.ids for block in found]), wanted)


def retrieval_while_training(columns: Mapping[str, list[Any]], embed: Embed, wanted: Sequence[str]) -> dict[str, float]:
    """The `wanted` measures, means over queries, of judged pairs whose embeddings fit into memory."""
    search = JudgedSearch.of(pa.table({name: columns[name] for name in ("sentence1", "sentence2", "score")}))
    (queries,), (corpus,) = embed(search.queries, side="query"), embed(search.passages[:], side="document")
    values = search.measures(nearest(queries, corpus, deepest(wanted), embed.similarity), wanted)
    return {name: float(column.mean()) for name, column in values.items()}


def deepest(wanted: Sequence[str]) -> int:
    """How many passages must be found for these measures."""
    return max(map(depth_of, wanted))
