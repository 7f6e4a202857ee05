"""Rows and score statistics from a prepared set's Arrow folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from stsflow.tasks.card.samples import read_samples


def test_first_rows_in_column_order_and_scores_over_all_rows(records: Any, tmp_path: Path) -> None:
    folder = tmp_path / "arrow"
    Dataset.from_dict(
        {"score": [0.0, 1.0, 0.5, 0.1], "sentence1": list("abcd"), "sentence2": list("efgh")}
    ).save_to_disk(str(folder))
    found = read_samples(records.data.train[1].model_copy(update={"path": folder}))
    assert found.rows == (("a", "e", 0.0), ("b", "f", 1.0), ("c", "g", 0.5))
    assert found.score is not None
    assert (found.score.minimum, found.score.maximum) == (0.0, 1.0)
    assert found.score.mean == pytest.approx(0.4)
