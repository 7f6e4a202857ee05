"""The journal survives kills, holds each point once, and knows what the tracker has."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.tracking.journal import Journal, Metrics, Params, Tags, flat_params, metrics_now


def test_entries_come_back_in_order_with_their_numbers(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Params(values={"a": "1"}), Tags(values={"b": "2"}))
    assert list(Journal(journal.path).after(1)) == [(2, Tags(values={"b": "2"}))]


def test_a_torn_last_line_is_cut_off_and_the_next_entry_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).append(Tags(values={"a": "1"}))
    with path.open("ab") as stream:
        stream.write(b'{"kind":"tags","val')
    journal = Journal(path)
    journal.append(Tags(values={"b": "2"}))
    assert [entry.values for _, entry in journal.after(0)] == [{"a": "1"}, {"b": "2"}]  # type: ignore[union-attr]


def test_what_the_tracker_confirmed_is_remembered(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.sent == 0
    journal.append(Tags(values={"a": "1"}), Tags(values={"b": "2"}))
    journal.confirm(1)
    assert Journal(journal.path).sent == 1


def test_a_point_that_is_retrained_after_a_crash_is_not_written_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append_new_points(Metrics(points=(("train/loss", 0.5, 1000, 10), ("train/loss", 0.4, 2000, 20)), event=7))
    journal.append_new_points(Metrics(points=(("train/loss", 0.4, 9000, 20), ("train/loss", 0.3, 9500, 30)), event=9))
    points = [point for _, entry in journal.after(0) for point in entry.points]  # type: ignore[union-attr]
    assert [(name, step) for name, _, _, step in points] == [("train/loss", 10), ("train/loss", 20), ("train/loss", 30)]
    assert points[1][2] == 2000, "the first writing stays, with its own time"
    assert journal.last_event == 9


def test_an_equal_entry_is_kept_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for _ in range(2):
        journal.append_once(Tags(values={"a": "1"}))
        journal.append_once(metrics_now({"data/x/rows": 5}))
    assert len(journal) == 2


def test_parameters_are_dotted_and_empty_ones_are_left_out() -> None:
    values = {"training": {"learning_rate": 5e-5, "losses": {}, "bf16": True, "seeds": [1, 2]}, "card": {"contact": ""}}
    assert dict(flat_params("", values)) == {
        "training.learning_rate": "5e-05", "training.bf16": "true", "training.seeds": "[1, 2]",
    }  # fmt: skip
