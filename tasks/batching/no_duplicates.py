"""Batches in which no two rows share a text, in whatever columns the text stands.

An epoch is made as a whole, with array operations, in four steps:

1. Every row gets a batch at random. Rows of a *frequent* text (in more than half as many rows as there are batches)
   are dealt to the batches in turn instead, as cards are: no batch then gets the text twice, unless it
   occurs in more rows than there are batches.
2. Sorting (batch, text) brings equal texts of a batch together. All but one of the rows concerned are taken out.
3. In rounds, rows that were taken out go to free places where none of their texts stands, or change places: such a
   row goes to a random row's place and that row goes to the free place. A round tests all candidates at once.
4. The few that are left look through every batch that holds none of their texts.

A round costs O(p log n) for p rows without a place, and the rows tested in all rounds are limited to a multiple of n:
O(n log n) at worst. What still has no place is left out of this epoch; the caller can count it. A text that occurs in
more rows than there are batches makes that unavoidable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stsflow.tasks.batching.epoch import EpochBatches, IntArray, generator
from stsflow.tasks.batching.plain import RandomBatches, TokenBudgetBatches

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_FREQUENT = 2
"""A text is frequent when this many times its rows exceed the batches: two random rows would often collide."""
_ROUNDS = 64
_TESTED_ROWS_PER_ROW = 8
_SEARCHED_CELLS = 1 << 22


class NoDuplicateBatches:
    """Batches of one data set without a repeated text between rows; every row at most once an epoch.

    `texts` is the (rows, columns) matrix of text numbers (see texts.py). A row whose own columns repeat a text is no
    conflict: no other row is involved. The number and the size of the batches are those of `base`, the sampler
    without the condition; a batch is short where rows had to be left out. With a dropped last batch, the rows of the
    remainder serve to fill such places first.
    """

    def __init__(
        self, texts: IntArray, base: RandomBatches | TokenBudgetBatches, *, seed: int = 0, stream: int = 0
    ) -> None:
        self.rows = base.rows
        self.batches = base.batches
        self.batch_size = base.batch_size
        self._base = base
        self._seed, self._stream = seed, stream
        self._texts, self._counts = _conflicting(texts)
        self._frequent_text = self._most_frequent_text()

    def epoch(self, epoch: int) -> EpochBatches:
        """The batches of this epoch."""
        random = generator(self._seed, epoch, self._stream)
        batch_of = self._base.assignment(random)
        if self.batches:
            if len(self._counts):
                self._deal_frequent(batch_of, random)
                self._take_out_duplicates(batch_of, random)
            sizes = np.bincount(batch_of[batch_of >= 0], minlength=self.batches)
            # First as the base wants it; then the room that its last batch leaves may be used as well.
            for capacity in (self._capacity(), np.full(self.batches, self.batch_size)):
                if (batch_of < 0).any() and (sizes < capacity).any():
                    _Repair(self._texts, self._counts, batch_of, capacity, random).run()
                    sizes = np.bincount(batch_of[batch_of >= 0], minlength=self.batches)
        return EpochBatches.from_assignment(batch_of, self.batches)

    @property
    def unavoidable(self) -> int:
        """Rows that no arrangement could use: a lower bound, from the text that occurs in the most rows."""
        beyond_text = int(self._counts.max(initial=0)) - self.batches
        return max(0, beyond_text, self.rows - self.batches * self.batch_size)

    def _capacity(self) -> Int64Array:
        capacity = np.full(self.batches, self.batch_size, dtype=np.int64)
        if isinstance(self._base, RandomBatches):
            capacity[-1] = min(self.batch_size, self.rows - (self.batches - 1) * self.batch_size)
        return capacity

    def _most_frequent_text(self) -> npt.NDArray[np.int32]:
        """For each row its most frequent text, if that is a frequent one, else -1."""
        if not len(self._counts) or int(self._counts.max()) * _FREQUENT <= self.batches:
            return np.full(self.rows, -1, dtype=np.int32)
        counts = np.where(self._texts >= 0, self._counts[self._texts], 0)
        column = counts.argmax(axis=1)
        row = np.arange(self.rows)
        frequent = counts[row, column] * _FREQUENT > self.batches
        return np.where(frequent, self._texts[row, column], -1).astype(np.int32)

    def _deal_frequent(self, batch_of: Int64Array, random: np.random.Generator) -> None:
        """Deal rows with a frequent text to the batches in turn, one text after the other, then fill up with the rest.

        With a token budget rows keep their random batches: dealing would not keep the weights equal.
        """
        rows = np.flatnonzero(self._frequent_text >= 0)
        if not len(rows) or isinstance(self._base, TokenBudgetBatches):
            return
        random.shuffle(rows)
        turn = random.permutation(len(self._counts))[self._frequent_text[rows]]
        order = np.argsort(turn, kind="stable")
        rows, turn = rows[order], turn[order]
        place_in_text = np.arange(len(rows)) - np.searchsorted(turn, turn)
        dealt = rows[place_in_text < self.batches][: self.batches * self.batch_size]
        others = random.permutation(np.flatnonzero(self._frequent_text < 0))

        batch_of[:] = -1
        labels = random.permutation(self.batches)
        batch_of[dealt] = labels[np.arange(len(dealt)) % self.batches]
        free = np.maximum(self._capacity() - np.bincount(batch_of[dealt], minlength=self.batches), 0)
        places = np.repeat(np.arange(self.batches), free)[: len(others)]
        batch_of[others[: len(places)]] = places

    def _take_out_duplicates(self, batch_of: Int64Array, random: np.random.Generator) -> None:
        """Set to -1 the batch of rows that share a text with a row of their batch, but for one row of each text."""
        keys = _keys(self._texts, batch_of, len(self._counts))
        present = np.sort(keys[keys >= 0])
        doubled = np.unique(present[1:][present[1:] == present[:-1]])
        if not len(doubled):
            return
        crowded = np.zeros(self.batches, dtype=np.bool_)
        crowded[doubled // len(self._counts)] = True
        rows = np.flatnonzero((batch_of >= 0) & crowded[batch_of])
        keys = keys[rows]
        double = _is_in(keys, doubled)
        priority = random.permutation(len(rows))
        entry_row = np.nonzero(double)[0]
        entry_key = keys[double]
        order = np.lexsort((priority[entry_row], entry_key))
        entry_row, entry_key = entry_row[order], entry_key[order]
        later = np.flatnonzero(entry_key[1:] == entry_key[:-1]) + 1
        batch_of[rows[np.unique(entry_row[later])]] = -1


class _Repair:
    """Find places for rows without a batch (-1 in `batch_of`, which is changed in place)."""

    def __init__(
        self,
        texts: npt.NDArray[np.int32],
        counts: Int64Array,
        batch_of: Int64Array,
        capacity: Int64Array,
        random: np.random.Generator,
    ) -> None:
        self.texts, self.kinds, self.batch_of, self.random = texts, len(counts), batch_of, random
        self.batches = len(capacity)
        sizes = np.bincount(batch_of[batch_of >= 0], minlength=self.batches)
        self.places = np.repeat(np.arange(self.batches), np.maximum(capacity - sizes, 0))
        self.pool = np.flatnonzero(batch_of < 0)
        keys = _keys(texts, batch_of, self.kinds)
        self.present = np.sort(keys[keys >= 0])
        self.placed = np.bincount((self.present % self.kinds) if self.kinds else [], minlength=self.kinds)

    def run(self) -> None:
        """Place rows of the pool until none is left, none fits, or the work allowed for it is done."""
        tested, idle = 0, 0
        for _ in range(_ROUNDS):
            self._forget_hopeless()
            if not len(self.pool) or not len(self.places) or tested > _TESTED_ROWS_PER_ROW * len(self.batch_of):
                return
            self.random.shuffle(self.pool)
            self.random.shuffle(self.places)
            tested += min(len(self.pool), len(self.places))
            done = self._place_directly() + self._place_by_exchange()
            idle = 0 if done else idle + 1
            if idle == 8:
                break
        self._search()

    def _forget_hopeless(self) -> None:
        """Leave out rows with a text that every batch holds already."""
        texts = self.texts[self.pool]
        full = (texts >= 0) & (self.placed[texts] >= self.batches) if self.kinds else np.zeros_like(texts, dtype=bool)
        self.pool = self.pool[~full.any(axis=1)]

    def _place_directly(self) -> int:
        """Pair rows with free places; those whose texts are new to the batch stay there."""
        count = min(len(self.pool), len(self.places))
        rows, batches = self.pool[:count], self.places[:count]
        keys = self._keys(rows, batches)
        fits: BoolArray = np.logical_not(_is_in(keys, self.present).any(axis=1))
        fits &= _first_come(keys, fits)
        self._change(added=keys[fits])
        self._settle(np.flatnonzero(fits), rows[fits], batches[fits])
        return int(fits.sum())

    def _place_by_exchange(self) -> int:
        """Pair rows with a free place and a random settled row: the new row takes its place, it takes the free one."""
        count = min(len(self.pool), len(self.places))
        rows, free = self.pool[:count], self.places[:count]
        settled = self.random.integers(0, len(self.batch_of), count)
        theirs = self.batch_of[settled]
        fits = (theirs >= 0) & (theirs != free) & _first_of_each(settled)
        leaving = self._keys(settled, np.where(theirs >= 0, theirs, 0))
        coming, moving = self._keys(rows, np.where(theirs >= 0, theirs, 0)), self._keys(settled, free)
        blocked = _is_in(coming, self.present) & ~(coming[:, :, None] == leaving[:, None, :]).any(axis=2)
        fits &= ~blocked.any(axis=1) & ~_is_in(moving, self.present).any(axis=1)
        fits &= _first_come(np.concatenate([coming, moving], axis=1), fits)
        self._change(removed=leaving[fits])
        self._change(added=np.concatenate([coming[fits], moving[fits]]))
        self.batch_of[settled[fits]] = free[fits]
        self._settle(np.flatnonzero(fits), rows[fits], theirs[fits])
        return int(fits.sum())

    def _search(self) -> None:
        """Try every batch for the last few rows, directly and by exchange: at least 8 of them, more in a small set.

        Again until a pass places none: an exchange may open a batch to a row that was looked at before.
        """
        waiting = self.pool[: max(8, _SEARCHED_CELLS // self.texts.size)].tolist()
        while waiting:
            left = [row for row in waiting if not self._find_place(row)]
            if len(left) == len(waiting):
                return
            waiting = left

    def _find_place(self, row: int) -> bool:
        """Whether the row has a place now."""
        if not len(self.places):
            return False
        texts = self.texts[row][self.texts[row] >= 0]
        taken = np.isin(self.texts, texts).any(axis=1) & (self.batch_of >= 0)
        open_batches = np.setdiff1d(np.arange(self.batches), self.batch_of[taken])
        direct = np.flatnonzero(np.isin(self.places, open_batches))
        if len(direct):
            self._move(row, int(self.places[direct[0]]), int(direct[0]))
            return True
        return self._exchange_somewhere(row, texts, open_batches)

    def _exchange_somewhere(self, row: int, texts: IntArray, open_batches: IntArray) -> bool:
        # A settled row may also leave because it is the only one of its batch that stands in the way.
        place = int(self.random.integers(len(self.places)))
        free = int(self.places[place])
        held = self.texts[self.batch_of == free]
        movable = (self.batch_of >= 0) & (self.batch_of != free)
        movable &= ~np.isin(self.texts, held[held >= 0]).any(axis=1)
        candidates = np.flatnonzero(movable & np.isin(self.batch_of, open_batches))
        if not len(candidates):
            blocking = np.isin(self.texts, texts).any(axis=1)
            standing = np.bincount(self.batch_of[blocking & (self.batch_of >= 0)], minlength=self.batches)
            candidates = np.flatnonzero(movable & blocking & (standing[self.batch_of] == 1))
        if not len(candidates):
            return False
        settled = int(self.random.choice(candidates))
        target = int(self.batch_of[settled])
        self._move(settled, free, place)
        self.batch_of[row] = target
        return True

    def _move(self, row: int, batch: int, place: int) -> None:
        self.batch_of[row] = batch
        self.places = np.delete(self.places, place)

    def _keys(self, rows: IntArray, batches: IntArray) -> Int64Array:
        return _keys(self.texts[rows], batches, self.kinds)

    def _settle(self, indices: IntArray, rows: IntArray, batches: IntArray) -> None:
        self.batch_of[rows] = batches
        self.pool = np.delete(self.pool, indices)
        self.places = np.delete(self.places, indices)

    def _change(self, *, added: Int64Array | None = None, removed: Int64Array | None = None) -> None:
        if removed is not None:
            keys = removed[removed >= 0]
            self.present = np.delete(self.present, np.searchsorted(self.present, keys))
            np.subtract.at(self.placed, keys % max(1, self.kinds), 1)
        if added is not None:
            keys = np.sort(added[added >= 0])
            self.present = np.insert(self.present, np.searchsorted(self.present, keys), keys)
            np.add.at(self.placed, keys % max(1, self.kinds), 1)


def _conflicting(texts: IntArray) -> tuple[npt.NDArray[np.int32], Int64Array]:
    """Text numbers that can collide, renumbered from 0, others -1; and how many rows each of them occurs in."""
    texts = np.array(texts, dtype=np.int32, order="C")
    for column in range(1, texts.shape[1]):
        own = (texts[:, :column] == texts[:, column, None]).any(axis=1)
        texts[own, column] = -1
    counts = np.zeros(int(texts.max(initial=-1)) + 1, dtype=np.int32)
    np.add.at(counts, texts[texts >= 0], 1)
    shared = counts > 1
    number = np.cumsum(np.append(shared, False), dtype=np.int32) - np.int32(1)
    number[:-1][~shared] = -1
    number[-1] = -1  # what index -1, a text that cannot collide, refers to
    return number[texts], counts[shared].astype(np.int64)


def _keys(texts: IntArray, batches: IntArray, kinds: int) -> Int64Array:
    """(batch, text) as one number, batch by batch; -1 where there is no batch or no text."""
    keys = batches[:, None] * np.int64(kinds) + texts
    keys[(texts < 0) | (batches < 0)[:, None]] = -1
    return keys


def _is_in(keys: Int64Array, present: Int64Array) -> BoolArray:
    """Whether each key is among the sorted `present`; -1 never is."""
    if not len(present):
        return np.zeros(keys.shape, dtype=np.bool_)
    at = np.minimum(np.searchsorted(present, keys), len(present) - 1)
    found: npt.NDArray[Any] = present[at] == keys
    return found


def _first_come(keys: Int64Array, candidate: BoolArray) -> BoolArray:
    """Candidates none of whose keys an earlier candidate brings too."""
    first = np.zeros(len(keys), dtype=np.bool_)
    rows = np.flatnonzero(candidate)
    first[rows] = True
    entry_key = keys[rows].ravel()
    entry_row = np.repeat(rows, keys.shape[1])
    entry_row, entry_key = entry_row[entry_key >= 0], entry_key[entry_key >= 0]
    order = np.argsort(entry_key, kind="stable")
    later = np.flatnonzero(entry_key[order][1:] == entry_key[order][:-1]) + 1
    first[entry_row[order[later]]] = False
    return first


def _first_of_each(values: IntArray) -> BoolArray:
    """Whether a value stands at its first position."""
    first = np.zeros(len(values), dtype=np.bool_)
    first[np.unique(values, return_index=True)[1]] = True
    return first
