"""What a training set and an evaluation set share, counted from sentences that were numbered once.

Every distinct sentence of a set gets a number, and a row is its sentences' numbers. A *link* says that a training
sentence equals, or nearly equals, an evaluation sentence; all counts follow from the links and the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stsflow.tasks.ground.in_threads import in_threads
from stsflow.tasks.leakage.near_duplicates import NearDuplicateIndex
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.recipe.sections import LeakageConfig
from stsflow.tasks.records.data import OverlapCounts, PreparedSet
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.sets.texts import ArrowTexts, numbered_texts

BLOCK = 50_000
BLOCKS_AT_A_TIME = 4
"""Looked at for near-duplicates; each takes some 160 MiB."""

Key = Callable[[str], str]
Blocks = Sequence[NDArray[np.int64]]
NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True)
class Sentences:
    """The sentences of one set."""

    numbers: NDArray[np.int32]
    """(rows, columns): which distinct sentence stands where."""
    distinct: ArrowTexts
    """The distinct sentences, by number."""
    scores: NDArray[np.float64] | None
    """(rows,), where the set has scores."""
    negatives: int = 0
    """How many of the columns, the last ones, are negatives."""

    def blocks(self) -> Iterator[list[str]]:
        """The distinct sentences in order, some ten thousand at a time."""
        for first in range(0, len(self.distinct), BLOCK):
            yield self.distinct[first : first + BLOCK]


def read_sentences(data: PreparedSet) -> Sentences:
    """The sentences of a prepared set, numbered in order of appearance, column by column."""
    table = read_rows(data)
    numbers, distinct = numbered_texts(table, data.roles.texts)
    score = data.roles.score
    scores = None if score is None else table[score].to_numpy().astype(np.float64)
    return Sentences(numbers, distinct, scores, data.roles.negatives)


@dataclass(frozen=True)
class Links:
    """Which training sentences equal which evaluation sentences, under one notion of equality."""

    sentences: NDArray[np.int64]
    """Numbers of the training sentences that are linked, rising."""
    matrix: sparse.csr_matrix
    """(those sentences and one more row, which is empty; evaluation keys), ones at links."""
    evaluation: NDArray[np.int64]
    """(rows, columns) of evaluation keys."""

    @classmethod
    def of(cls, sentences: Blocks, keys: Blocks, of_keys: int, evaluation: NDArray[np.int64]) -> Links:
        """From the numbers of linked sentences and keys, `of_keys` of which there are."""
        linked, here = np.unique(np.concatenate(sentences), return_inverse=True)
        there = np.concatenate(keys)
        matrix = sparse.csr_matrix((np.ones(len(here), np.int8), (here, there)), shape=(len(linked) + 1, of_keys))
        return cls(linked, matrix, evaluation)

    def are_linked(self, numbers: NDArray[np.integer], distinct: int) -> NDArray[np.bool_]:
        """Whether each of the training sentences `numbers`, of so many `distinct` ones, is linked."""
        linked = np.zeros(distinct, bool)
        linked[self.sentences] = True
        found: NDArray[np.bool_] = linked[numbers]
        return found

    def rows(self, numbers: NDArray[np.integer]) -> sparse.csr_matrix:
        """What each of these training sentences is linked to."""
        places = np.searchsorted(self.sentences, numbers)
        there = np.append(self.sentences, -1)[places] == numbers
        return self.matrix[np.where(there, places, len(self.sentences))]


def equal_links(train: Sentences, evaluation: Sentences, key: Key) -> Links:
    """Links of sentences whose `key` is equal."""
    keys, rows = _keyed(evaluation, key)
    here, there, first = [NOTHING], [NOTHING], 0
    for block in train.blocks():
        # An empty text is no sentence: retrieval suites have one where nobody asks for a passage.
        found = np.fromiter((keys.get(key(text), -1) if text else -1 for text in block), np.int64, len(block))
        linked = np.flatnonzero(found >= 0)
        here.append(linked + first)
        there.append(found[linked])
        first += len(block)
    return Links.of(here, there, len(keys), rows)


def near_links(train: Sentences, evaluation: Sentences, key: Key, threshold: float) -> Links:
    """Links of sentences whose keys are nearly equal (see near_duplicates.py)."""
    keys, rows = _keyed(evaluation, key)
    index = NearDuplicateIndex(list(keys), threshold)
    here, there, first = [NOTHING], [NOTHING], 0

    def links(block: list[str]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        return len(block), *index.links([key(text) for text in block])

    for length, in_block, in_index in in_threads(links, train.blocks(), BLOCKS_AT_A_TIME):
        here.append(in_block + first)
        there.append(in_index)
        first += length
    return Links.of(here, there, len(keys), rows)


def links_by_level(train: Sentences, evaluation: Sentences, config: LeakageConfig) -> dict[str, Links]:
    """Links by sense of equality, as far as `config` asks for them: exact, normalised, near."""
    levels = {"exact": equal_links(train, evaluation, str)}
    if config.normalise:
        levels["normalised"] = equal_links(train, evaluation, normalised)
    if config.near_duplicates != "off":
        levels["near"] = near_links(train, evaluation, normalised, config.near_duplicate_threshold)
    return levels


def _keyed(evaluation: Sentences, key: Key) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Number of each distinct key, and the evaluation rows in those numbers."""
    keys: dict[str, int] = {}
    of_sentence = [keys.setdefault(key(text), len(keys)) for block in evaluation.blocks() for text in block]
    return keys, np.asarray(of_sentence, np.int64)[evaluation.numbers]


@dataclass(frozen=True)
class Shared:
    """What the links say about the rows of both sides."""

    counts: OverlapCounts
    train_rows: NDArray[np.bool_]
    """Training rows with a linked sentence."""
    train_pairs: NDArray[np.bool_]
    """Training rows of which two sentences are, together, an evaluation pair."""
    evaluation_rows: NDArray[np.bool_]
    """Evaluation rows with a linked side."""


def count_shared(links: Links, train: Sentences, kept: NDArray[np.bool_]) -> Shared:
    """What the `kept` training rows share with the evaluation rows.

    A row's pairs, on either side, are all unordered pairs of its texts: one in two columns, three in a triplet.
    """
    touched = links.are_linked(train.numbers, len(train.distinct)) & kept[:, None]
    hit = np.zeros(links.matrix.shape[1], bool)
    hit[links.rows(np.unique(train.numbers[touched])).indices] = True
    evaluation_rows: NDArray[np.bool_] = np.asarray(hit[links.evaluation].any(axis=1))
    pairs, train_pairs = _shared_pairs(links, train, np.flatnonzero(touched.sum(axis=1) >= 2))
    counts = OverlapCounts(
        pairs=pairs, sentences=int(hit.sum()), rows=int(evaluation_rows.sum()), of_rows=len(evaluation_rows)
    )
    return Shared(counts, np.asarray(touched.any(axis=1)), train_pairs, evaluation_rows)


def counts_by_level(levels: Mapping[str, Links], train: Sentences, kept: NDArray[np.bool_]) -> dict[str, OverlapCounts]:
    """What the `kept` rows share with the evaluation rows in each sense of equality, by its name in the records."""
    return {level: count_shared(links, train, kept).counts for level, links in levels.items()}


def _shared_pairs(links: Links, train: Sentences, candidates: NDArray[np.int64]) -> tuple[int, NDArray[np.bool_]]:
    """Number of distinct evaluation pairs that are training pairs, and the training rows that hold one."""
    rows = np.zeros(len(train.numbers), bool)
    columns = combinations(range(links.evaluation.shape[1]), 2)
    pairs = np.concatenate([links.evaluation[:, list(both)] for both in columns])
    wanted = np.unique(np.sort(pairs, axis=1), axis=0)
    found = np.zeros(len(wanted), bool)
    width = train.numbers.shape[1]
    for start in range(0, len(candidates), BLOCK):
        block = candidates[start : start + BLOCK]
        sides = [links.rows(train.numbers[block, column]).tocsc() for column in range(width)]
        for one in range(width):
            for other in range(width):
                if one != other:
                    both = sides[one][:, wanted[:, 0]].multiply(sides[other][:, wanted[:, 1]])
                    found |= np.asarray(both.sum(axis=0)).ravel() > 0
                    rows[block] |= np.asarray(both.sum(axis=1)).ravel() > 0
    return int(found.sum()), rows
