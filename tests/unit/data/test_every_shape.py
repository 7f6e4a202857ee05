"""Rows of every shape through the whole data stage: on the disk as they were shaped, digested, compared, shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from stsflow.tasks.batching.build import read_sets
from stsflow.tasks.card.samples import read_samples
from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.losses import Loss
from stsflow.tasks.recipe.sections import DataConfig, TrainingConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.sets.rows import digest_of, training_rows
from stsflow.tasks.shapes import Shape
from stsflow.tasks.suites import Suite

ROWS: dict[str, list[dict[str, Any]]] = {
    "n_tuples": [{"anchor": f"q{n}", "positive": f"a{n}", "negative": [f"a{n + 1}", "stock phrase"]} for n in range(6)],
    "taught": [
        {"anchor": f"q{n}", "positive": f"a{n}", "negative": "stock phrase", "score": [n / 3, -1.5]} for n in range(6)
    ],
    "labelled_pairs": [{"sentence1": f"q{n}", "sentence2": f"a{n}", "label": n % 2} for n in range(6)],
    "parallel": [{"source": f"q{n}", "translation": [f"a{n}", f"b{n}"]} for n in range(6)],
    "texts": [{"text": f"q{n}"} for n in range(6)],
}
FIELDS: dict[str, dict[str, Any]] = {"n_tuples": {"negatives": 2}}
SUITE = {"kind": "sts", "source": {"kind": "files", "paths": ["dev.tsv"]}, "split": "dev"}


def prepare(folder: Path, workspace: Workspace, kind: str, rows: list[dict[str, Any]], **leakage: str) -> PreparedData:
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (folder / "dev.tsv").write_text("sentence1\tsentence2\tscore\nq1\tx\t1\ny\tz\t4\n", "utf-8")
    section = {"source": {"kind": "files", "paths": ["a.jsonl"]}, "shape": {"kind": kind, **FIELDS.get(kind, {})}}
    data = DataConfig.model_validate({"root": folder, "train": {"rows": section}, "leakage": leakage})
    return prepare_data(data, {"dev": TypeAdapter(Suite).validate_python(SUITE)}, workspace)


@pytest.mark.parametrize("kind", ROWS)
def test_what_was_shaped_is_what_the_trainer_reads(tmp_path: Path, workspace: Workspace, kind: str) -> None:
    (made,) = prepare(tmp_path, workspace, kind, ROWS[kind]).train
    read = training_rows(made)
    assert tuple(read.column_names) == made.roles.columns == made.columns
    assert made.digest == digest_of(made)
    assert len(read) == made.rows == (12 if kind == "parallel" else 6)
    if made.roles.taught:
        assert read["scores"][:] == [[n / 3, -1.5] for n in range(6)]
    shown = read_samples(made).rows[0]
    assert [value for value in shown if isinstance(value, str)] == [read[0][name] for name in made.roles.texts]


@pytest.mark.parametrize("kind", ROWS)
def test_what_a_row_shares_with_a_suite_is_found_in_every_column(
    tmp_path: Path, workspace: Workspace, kind: str
) -> None:
    data = prepare(tmp_path, workspace, kind, ROWS[kind], shared_sentences="drop")
    (made,), gone = data.train, 2 if kind == "parallel" else 1
    counts = made.counts
    assert made.rows == (12 if kind == "parallel" else 6) - gone
    assert (counts.notes | counts.dropped)[f"{'shaped_rows_dropped_' * (kind == 'parallel')}shared_sentences"] == gone
    assert data.overlaps[0].equal.rows == 0


def test_one_number_of_a_teacher_is_other_content(tmp_path: Path, workspace: Workspace) -> None:
    rows = ROWS["taught"]
    changed = [*rows[:-1], rows[-1] | {"score": [1.0, -1.4999]}]
    digests = {prepare(tmp_path, workspace, "taught", some).train[0].digest for some in (rows, changed)}
    assert len(digests) == 2


@pytest.mark.parametrize("kind", ["n_tuples", "taught"])
def test_a_text_in_any_column_of_negatives_keeps_rows_out_of_one_batch(
    tmp_path: Path, workspace: Workspace, kind: str
) -> None:
    (made,) = prepare(tmp_path, workspace, kind, ROWS[kind]).train
    training = TrainingConfig(batch_sampler="no_duplicates")
    (found,) = read_sets([made], training, {"rows": Loss.named(Shape.of(kind).default_loss)})
    assert found.texts is not None and found.texts.shape == (6, len(made.roles.texts))
    assert len(set(found.texts[:, -1].tolist())) == 1  # the stock phrase


@pytest.mark.parametrize("kind", Shape.names())
def test_the_loss_of_a_shape_is_there_and_takes_its_rows_once_a_teacher_has_embedded_texts(kind: str) -> None:
    shape = Shape.named(kind)
    taught = replace(shape.roles, taught="label", teaches="embedding")
    assert Loss.named(shape.default_loss).takes(taught if kind == "texts" else shape.roles)
