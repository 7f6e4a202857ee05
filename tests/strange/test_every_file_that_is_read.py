"""Whatever stands in a file that the product reads: a clear sentence or a result, in bounded time and memory.

`make test` tries 200 files, `make test-slow` 2,000; those of cards are in tests/unit/card/test_strange_cards.py.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from small_recipe import RECIPE
from strange_files import FIXED, Reader, files_below, read_with, try_strange_files

ROWS = [("a man plays", "a man is playing", 4.5), ("a dog runs", "nobody sleeps", 0.0), ("개가 달린다", "개", 2.25)] * 4
NAMES = ("sentence1", "sentence2", "score")


def data_file(name: str, content: bytes) -> Reader:
    """The data stage on one suite's file."""
    from stsflow.tasks.data.build import prepare_evaluation
    from stsflow.tasks.ground.workspace import Workspace
    from stsflow.tasks.suites import StsSuite

    suite = StsSuite.model_validate({"source": {"kind": "files", "paths": [name]}})

    def read(folder: Path) -> object:
        return prepare_evaluation({"suite": suite}, folder, Workspace(folder / "workspace"))

    return Reader({name: content}, read)


def table(delimiter: str) -> bytes:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [NAMES, *ROWS]).encode()


def parquet_bytes() -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table(dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))), stream)
    return stream.getvalue()


def objects() -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def recipe(_request: pytest.FixtureRequest) -> Reader:
    """A recipe."""
    from stsflow.tasks.recipe.sections import RunConfig

    text = RECIPE.format(model=json.dumps("/models/tiny"))
    return Reader({"recipe.yaml": text.encode()}, lambda folder: RunConfig.from_recipe(folder / "recipe.yaml"))


def model_folder(request: pytest.FixtureRequest) -> Reader:
    """A base model, up to the point where a child process would load it."""
    from stsflow.tasks.ground.workspace import Workspace
    from stsflow.tasks.models.fetch import fetch_base_model
    from stsflow.tasks.recipe.sections import ModelConfig

    root: Path = request.getfixturevalue("tiny_bert")

    def read(folder: Path) -> object:
        config = ModelConfig.model_validate({"source": {"kind": "directory", "path": str(folder)}})
        return fetch_base_model(config, Workspace(folder / "workspace"))

    return Reader(dict(files_below(root)), read)


def workspace_records(request: pytest.FixtureRequest) -> Reader:
    """What runs and trainings leave behind, as the next start in the same workspace reads it."""
    from stsflow.tasks.ground.process import this_process
    from stsflow.tasks.ground.workspace import RunFolder, Workspace
    from stsflow.tasks.records.run import RunState
    from stsflow.tasks.tracking import flow_runs, runs
    from stsflow.tasks.tracking.journal import Journal, Tags, metrics_now
    from stsflow.tasks.training.checkpoints import checkpoint_folder, last_whole, seal
    from stsflow.tasks.training.events import EventLog, read_events

    root: Path = request.getfixturevalue("tmp_path") / "right"
    workspace, run = Workspace(root), RunFolder(root / "runs" / "small-1a2b3c4d-001")
    Journal(run.root / "tracking" / "journal.jsonl").append(Tags(values={"a": "1"}), metrics_now({"data/x/rows": 5}))
    Journal(run.root / "tracking" / "journal.jsonl").confirm(1)
    RunState(
        name=run.root.name, recipe_name="small", recipe_sha256="a" * 64, status="finished", mlflow_run_id="b" * 32,
        experiment_id="1", tracking_uri="sqlite:///mlflow.db", started=datetime.now(UTC), **this_process(),
    ).write(run.state)  # fmt: skip
    with flow_runs.noted(workspace, "7d0e1f2a-0000-0000-0000-000000000000"):
        note = dict(files_below(root))
    training = workspace.training("c" * 64)
    log = EventLog(training.events, attempt=1)
    log.write("log", step=1, values={"loss": 0.5})
    log.close()
    staged = training.checkpoints / ".staging-4"
    staged.mkdir(parents=True)
    (staged / "state.json").write_text("{}")
    seal(staged, checkpoint_folder(training.checkpoints, 4), 4)
    files = note | dict(files_below(root))

    def read(folder: Path) -> object:
        here = Workspace(folder)
        journal = Journal(folder / "runs" / "small-1a2b3c4d-001" / "tracking" / "journal.jsonl")
        journal.append_once(Tags(values={"after": "damage"}))
        entries = [entry for _, entry in journal.after(0)]
        assert entries[-1] == Tags(values={"after": "damage"}), "a damaged journal takes further entries"
        checkpoints = here.training("c" * 64)
        return (
            list(runs.known_runs(here)), list(runs.damaged_runs(here)), entries, flow_runs.left_behind(here),
            read_events(checkpoints.events), last_whole(checkpoints.checkpoints),
        )  # fmt: skip

    return Reader(files, read)


READERS: dict[str, Callable[[pytest.FixtureRequest], Reader]] = {
    "recipe": recipe,
    "model folder": model_folder,
    "records of a workspace": workspace_records,
    "tsv": lambda _: data_file("rows.tsv", table("\t")),
    "csv": lambda _: data_file("rows.csv", table(",")),
    "csv.gz": lambda _: data_file("rows.csv.gz", gzip.compress(table(","))),
    "jsonl": lambda _: data_file("rows.jsonl", "".join(json.dumps(row) + "\n" for row in objects()).encode()),
    "json": lambda _: data_file("rows.json", json.dumps(objects()).encode()),
    "parquet": lambda _: data_file("rows.parquet", parquet_bytes()),
}


@pytest.mark.parametrize("name", READERS)
def test_a_strange_file_is_a_sentence_or_a_result(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    try_strange_files(READERS[name](request), tmp_path / "here", cases=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_strange_files(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    try_strange_files(READERS[name](request), tmp_path / "here", cases=200)


@pytest.mark.parametrize("name", READERS)
def test_what_troubled_a_reader_once(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    reader = READERS[name](request)
    files = sorted(reader.files)
    for number, content in enumerate(FIXED * (1 + len(files) // len(FIXED))):
        read_with(reader, tmp_path / "here", files[number % len(files)], content)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_what_troubled_a_reader_once_in_every_file(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    reader = READERS[name](request)
    for file in reader.files:
        for content in FIXED:
            read_with(reader, tmp_path / "here", file, content)
