from __future__ import annotations

from pathlib import Path

import pytest

from stsflow.tasks.batching.ledger import Ledger
from stsflow.tasks.records.plan import Exposure


def planned(**changes: float) -> Exposure:
    values: dict[str, object] = {
        "name": "x", "rows": 10, "batches": 3, "batches_per_epoch": 3, "rows_seen": 5, "rows_seen_per_epoch": 5,
        "unique_rows_seen": 4, "repeats": 1, "seen_share": 0.4, "seen_share_per_epoch": 0.5,
        "left_out_by_sampler": 0, "batch_size": 2, "effective_batch_size": 2, "in_batch_negatives": 1.0,
    }  # fmt: skip
    return Exposure.model_validate(values | changes)


def fed() -> Ledger:
    ledger = Ledger({"x": 10})
    for rows in ([0, 9], [3, 4], [9]):
        ledger.count("x", rows)
    return ledger


def test_rows_batches_and_repeats_are_counted() -> None:
    (actual,) = fed().actual([planned(batches=0, rows_seen=0, unique_rows_seen=0, repeats=0, seen_share=0)])
    assert actual == planned()


def test_a_plan_that_holds_gives_no_finding() -> None:
    assert fed().differences([planned()]) == ()


def test_a_difference_is_an_error_with_both_numbers() -> None:
    (finding,) = fed().differences([planned(batches=4, rows_seen=7)])
    assert (finding.severity, finding.code, finding.subject) == ("error", "exposure.differs", "x")
    assert finding.message == (
        "The model was not fed what the plan says of x: 3 batches instead of 4, 5 rows instead of 7."
    )
    assert finding.numbers["planned rows"] == 7
    assert finding.numbers["fed rows"] == 5


def test_a_resumed_ledger_goes_on_where_the_checkpoint_was(tmp_path: Path) -> None:
    fed().save(tmp_path / "ledger.npz")
    resumed = Ledger({"x": 10})
    resumed.load(tmp_path / "ledger.npz")
    resumed.count("x", [3, 5])
    assert (resumed.rows_fed, resumed.batches, resumed.unique("x")) == ({"x": 7}, {"x": 4}, 5)


def test_a_ledger_of_other_sets_is_not_taken_over(tmp_path: Path) -> None:
    fed().save(tmp_path / "ledger.npz")
    with pytest.raises(ValueError, match=r"the ledger is of \{'x': 10\}, the training sets are \{'x': 11\}"):
        Ledger({"x": 11}).load(tmp_path / "ledger.npz")


def test_of_processes_the_rows_are_added_up_and_their_batches_are_the_same_ones() -> None:
    total, other = fed(), Ledger({"x": 10})
    for rows in ([0, 1], [2], [5]):
        other.count("x", rows)
    total.add(other)
    assert (total.rows_fed["x"], total.batches["x"], total.unique("x")) == (9, 3, 7)


def test_a_million_rows_are_a_small_file(tmp_path: Path) -> None:
    Ledger({"x": 1_000_000}).save(tmp_path / "ledger.npz")
    assert (tmp_path / "ledger.npz").stat().st_size < 200_000
