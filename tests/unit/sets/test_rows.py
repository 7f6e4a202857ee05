"""Prepared sets: what is written is what is read, with and without the datasets library."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from datasets import load_from_disk

from stsflow.tasks.models.preflight import sample_texts
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.sets.rows import digest_of, read_rows, training_rows, write_rows


def written(folder: Path, table: pa.Table, shape: str) -> PreparedSet:
    digest = write_rows(table, folder)
    return PreparedSet(
        name="some", role="train", shape=shape, title="some", path=folder, columns=tuple(table.column_names),
        digest=digest, rows=table.num_rows, counts=RowCounts(read=table.num_rows, kept=table.num_rows),
        source=SourceRef(kind="synthetic", name="some", uri="some", revision="0"),
    )  # fmt: skip


def test_rows_are_those_that_were_written_and_the_trainer_gets_the_columns_with_a_role(tmp_path: Path) -> None:
    rows = [
        {"sentence1": f"가 {number}", "sentence2": f"b {number}", "score": number / 4, "genre": "news"}
        for number in range(5)
    ]
    prepared = written(tmp_path / "some", pa.Table.from_pylist(rows), "scored_pairs")
    assert read_rows(prepared).to_pylist() == rows == load_from_disk(str(prepared.path)).to_list()
    assert training_rows(prepared).column_names == ["sentence1", "sentence2", "score"]
    assert digest_of(prepared) == prepared.digest


def test_sample_texts_are_spread_evenly_over_each_column_without_the_empty_ones(tmp_path: Path) -> None:
    table = pa.table(
        {"anchor": [f"a{n}" for n in range(130)], "positive": ["" if n % 4 else f"b{n}" for n in range(130)]}
    )
    texts = sample_texts(
        PreparedData(fingerprint="0", train=(written(tmp_path / "some", table, "pairs"),), evaluation=())
    )
    assert texts == (*(f"a{n}" for n in range(0, 128, 2)), *(f"b{n}" for n in range(0, 128, 4)))
