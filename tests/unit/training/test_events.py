"""The event log: numbered, append-only, once a step, and readable while it is torn."""

from __future__ import annotations

from pathlib import Path

import pytest

from stsflow.tasks.training.events import EventLog, EventReader, read_events
from stsflow.tasks.training.progress import phase_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_numbers_go_on_over_attempts(path: Path) -> None:
    first = EventLog(path, attempt=1)
    first.write("phase", text="train")
    first.write("log", step=10, values={"loss": 0.5})
    first.close()
    second = EventLog(path, attempt=2)
    second.write("phase", text="train")
    assert [(event.seq, event.attempt) for event in read_events(path)] == [(1, 1), (2, 1), (3, 2)]


def test_a_step_that_is_trained_again_is_not_logged_again(path: Path) -> None:
    first = EventLog(path, attempt=1)
    for step in (10, 20):
        first.write("log", step=step, values={"loss": float(step)})
    first.write("evaluation", step=20, values={"spearman_cosine": 0.5})
    second = EventLog(path, attempt=2)
    for step in (10, 20, 30):
        second.write("log", step=step, values={"loss": float(step)})
    assert second.write("evaluation", step=20, values={"spearman_cosine": 0.5}) is None
    steps = [(event.kind, event.step) for event in read_events(path)]
    assert steps == [("log", 10), ("log", 20), ("evaluation", 20), ("log", 30)]


def test_progress_may_go_back(path: Path) -> None:
    log = EventLog(path, attempt=1)
    log.write("progress", step=20)
    log.write("progress", step=11)
    assert [event.step for event in read_events(path)] == [20, 11]


def test_a_torn_last_line_is_not_read_and_the_next_writer_cuts_it(path: Path) -> None:
    log = EventLog(path, attempt=1)
    log.write("log", step=1, values={"loss": 1.0})
    log.close()
    with path.open("ab") as stream:
        stream.write(b'{"seq":2,"time":1.0,"kind":"lo')
    assert [event.seq for event in read_events(path)] == [1]
    EventLog(path, attempt=2).write("log", step=2, values={"loss": 0.5})
    assert [event.seq for event in read_events(path)] == [1, 2]
    assert path.read_bytes().count(b"\n") == 2


def test_the_reader_gives_what_is_new_and_waits_for_whole_lines(path: Path) -> None:
    log = EventLog(path, attempt=1)
    reader = EventReader(path, after_seq=1)
    assert reader.new() == []
    log.write("phase", text="load")
    log.write("phase", text="train")
    assert [event.text for event in reader.new()] == ["train"]
    line = b'{"seq":3,"time":1.0,"kind":"done","attempt":1}\n'
    with path.open("ab") as stream:
        stream.write(line[:20])
    assert reader.new() == []
    with path.open("ab") as stream:
        stream.write(line[20:])
    assert [event.kind for event in reader.new()] == ["done"]


def test_values_that_are_not_finite_are_left_out(path: Path) -> None:
    EventLog(path, attempt=1).write("log", step=1, values={"loss": 0.5, "grad_norm": float("inf")})
    assert read_events(path)[0].values == {"loss": 0.5}


def test_a_missing_file_has_no_events(path: Path) -> None:
    assert read_events(path) == []


def test_a_phase_is_a_sentence_for_a_person(path: Path) -> None:
    log = EventLog(path, attempt=2)
    log.write("phase", text="load")
    log.write("phase", text="train", details={"resumed_from": 1500})
    log.write("phase", text="save")
    assert [phase_text(event) for event in read_events(path)] == [
        "the trainer loads the base model and the data",
        "training goes on from the checkpoint of step 1,500",
        "training is done; the model is saved",
    ]
