"""Embeddings on the disk are what was put there, whichever part is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stsflow.tasks.search.dense import nearest
from stsflow.tasks.search.stored import StoredEmbeddings


def test_what_is_read_is_what_was_appended_and_the_file_goes_with_it(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    stored = StoredEmbeddings(tmp_path)
    for start, stop in ((0, 4), (4, 5), (5, 10)):
        stored.append(rows[start:stop])
    assert stored.shape == (10, 3)
    for part in (slice(0, 10), slice(3, 7), slice(8, 30), slice(10, 12)):
        assert np.array_equal(stored[part], rows[part])
    (from_disk,), (in_memory,) = nearest(rows[:4], stored, 5), nearest(rows[:4], rows, 5)
    assert np.array_equal(from_disk.ids, in_memory.ids) and np.array_equal(from_disk.scores, in_memory.scores)
    assert not list(tmp_path.iterdir())
