"""Nearly equal sentences: MinHash over character bigrams finds candidates, exact Jaccard similarity decides.

The index holds one side (the evaluation sentences); the other side streams past it, so that memory depends on the
smaller one. The sketch only filters: what comes back has been checked against the threshold, so a pair can be missed
(rarely, see `bands_for`) but never be wrong.

Broder, "On the resemblance and containment of documents", 1997; banding:
Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", section 3.4. The sketches are those of `rensa`, about twenty times as fast here as the classical ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rensa
from numpy.typing import NDArray
from scipy import sparse

SKETCH_SIZE = 128
MINIMUM_RECALL = 0.98
QUERY_ROWS = 1024


class NearDuplicateIndex:
    """Sentences to be found again; `links` finds those that other sentences nearly equal."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """Index `texts` (normalised, non-empty); `threshold` is the Jaccard similarity that counts, 0..1."""
        self.threshold = threshold
        codes, starts = character_bigrams(texts)
        self._vocabulary = np.unique(codes)
        self._bigrams = self._rows(codes, starts)
        self._sizes = np.diff(self._bigrams.indptr)
        self._filter = rensa.RMinHashLSH(threshold, SKETCH_SIZE, bands_for(threshold))
        sketches = _sketches(codes, starts)
        # The library flags a row that has more than one candidate: under two keys each, one neighbour is enough.
        self._filter.insert_matrix(sketches, 0)
        self._filter.insert_matrix(sketches, len(texts))

    def links(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers (in `texts`, in the index) of every nearly equal pair that was found, ordered by the first."""
        if not texts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        codes, starts = character_bigrams(texts)
        flags = np.asarray(self._filter.query_duplicate_flags_matrix(_sketches(codes, starts)), dtype=bool)
        candidates = np.flatnonzero(flags)
        found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for first in range(0, len(candidates), QUERY_ROWS):
            block = candidates[first : first + QUERY_ROWS]
            own_codes, own_starts = character_bigrams([texts[number] for number in block])
            here, there = self._verified(own_codes, own_starts)
            found.append((block[here], there))
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate([here for here, _ in found]), np.concatenate([there for _, there in found])

    def _verified(
        self, codes: NDArray[np.uint64], starts: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers and index numbers whose exact Jaccard similarity reaches the threshold."""
        rows = _row_of_each(starts)
        sizes = _distinct_in_row(rows, codes, len(starts) - 1)
        shared = self._rows(codes, starts) @ self._bigrams.T
        # A union is no smaller than the text itself: that alone rules out nearly all pairs, of which there are many.
        least = np.ceil(self.threshold * sizes - 1e-9).astype(np.int32)
        places = np.flatnonzero(shared.data >= np.repeat(least, np.diff(shared.indptr)))
        here = np.searchsorted(shared.indptr, places, side="right").astype(np.int64) - 1
        there, common = shared.indices[places].astype(np.int64), shared.data[places]
        near = common >= self.threshold * (sizes[here] + self._sizes[there] - common) - 1e-9
        here, there = here[near], there[near]
        order = np.lexsort((there, here))
        return here[order], there[order]

    def _rows(self, codes: NDArray[np.uint64], starts: NDArray[np.uint64]) -> sparse.csr_matrix:
        """Texts by bigrams of the index's vocabulary, ones where the text has the bigram."""
        rows = _row_of_each(starts)
        columns = np.minimum(np.searchsorted(self._vocabulary, codes), len(self._vocabulary) - 1)
        known = self._vocabulary[columns] == codes
        shape = (len(starts) - 1, len(self._vocabulary))
        matrix = sparse.csr_matrix((np.ones(int(known.sum()), np.int32), (rows[known], columns[known])), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix


def bands_for(threshold: float, size: int = SKETCH_SIZE) -> int:
    """Fewest bands of a `size`-slot sketch that keep MINIMUM_RECALL of the pairs exactly at the threshold.

    Fewer bands have more slots each and let fewer unrelated pairs through. A pair of similarity t is a candidate with
    probability 1 - (1 - t**slots)**bands; above the threshold it is higher.
    """
    for slots in range(size // 2, 1, -1):
        bands = size // slots
        if size % bands == 0 and 1 - (1 - threshold ** (size // bands)) ** bands >= MINIMUM_RECALL:
            return bands
    return size


def character_bigrams(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Mixed 64-bit codes of the bigrams of all texts, and where each text's begin (len(texts) + 1 numbers).

    A text has as many bigrams as characters: the last is its last character with an end mark.
    """
    lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    joined = "\x00".join(texts) + "\x00"
    characters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    codes = (characters[:-1] << np.uint64(32)) | characters[1:]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    inside = np.ones(len(characters), bool)
    inside[starts[1:] + np.arange(len(texts))] = False  # the end marks start no bigram
    return _mixed(codes[inside[:-1]]), starts.astype(np.uint64)


def _mixed(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): one to one, and every bit depends on every bit."""
    mixed = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def _sketches(codes: NDArray[np.uint64], starts: NDArray[np.uint64]) -> object:
    return rensa.RMinHash.digest_matrix_from_flat_token_hashes(codes, starts, SKETCH_SIZE, 42)


def _row_of_each(starts: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Number of the text that each code belongs to."""
    begins = starts.astype(np.int64)
    return np.repeat(np.arange(len(begins) - 1), begins[1:] - begins[:-1])


def _distinct_in_row(rows: NDArray[np.int64], codes: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Number of distinct codes in each row."""
    order = np.lexsort((codes, rows))
    rows, codes = rows[order], codes[order]
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (codes[1:] != codes[:-1])
    return np.bincount(rows[first], minlength=count)
