"""Numbers of texts against a dictionary of Python's, whatever lies where and whichever hashes collide."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.sets.texts import ArrowTexts, Key, numbered_texts


class Colliding(str):
    """A text with a hash that many others have."""

    def __hash__(self) -> int:
        return len(self) % 3


def table_of(draw: random.Random, rows: int) -> pa.Table:
    """Two columns of few texts, one of them in chunks; some are missing, some empty."""
    texts = [
        draw.choice([None, "", *map(str, range(rows // 2)), *(f"A{n}" for n in range(9)), "a1"])
        for _ in range(2 * rows)
    ]
    one = pa.chunked_array([texts[start : start + 7] for start in range(0, rows, 7)], pa.large_string())
    return pa.table({"one": one.slice(0, rows), "other": pa.array(texts[rows : rows + one.slice(0, rows).length()])})


@pytest.mark.parametrize("key", [None, str.lower, lambda text: Colliding(text), lambda text: Colliding(text.lower())])
@pytest.mark.parametrize("seed", range(5))
def test_texts_are_numbered_in_order_of_appearance_by_column(seed: int, key: Key | None) -> None:
    table = table_of(random.Random(seed), 140)
    expected: dict[str, int] = {}
    shown: list[str] = []
    numbers = []
    for name in ("one", "other"):
        for text in table[name].to_pylist():
            same = text if text is None or key is None else str(key(text))
            if text is not None and same not in expected:
                expected[same] = len(expected)
                shown.append(text)
            numbers.append(-1 if text is None else expected[same])
    found, distinct = numbered_texts(table, ["one", "other"], key)
    assert found.T.ravel().tolist() == numbers
    assert list(distinct) == shown == distinct[:] == [distinct[place] for place in range(len(distinct))]


def test_texts_come_in_any_order_from_any_chunk() -> None:
    texts = ArrowTexts([pa.array(["a", "b"]), pa.array([], pa.string()), pa.array(["c", None, "e"], pa.large_string())])
    assert texts.take(np.array([4, 0, 0, 3, 2])).to_pylist() == ["e", "a", "a", None, "c"]
    assert texts.at(np.array([4, 2, 1], np.int32))[1:] == ["c", "b"]
    assert (texts[-1], texts[1:3], len(texts)) == ("e", ["b", "c"], 5)
    with pytest.raises(IndexError):
        texts[5]


def test_more_texts_than_can_be_told_apart_are_refused() -> None:
    chunk = pa.array(["a"] * 1_000_000)
    table = pa.table({"one": pa.chunked_array([chunk] * 1_100), "two": pa.chunked_array([chunk] * 1_100)})
    with pytest.raises(DataError, match="2,200,000,000 texts in 2 columns"):
        numbered_texts(table, ["one", "two"])
