"""The machine is sampled under the names that MLflow's charts of system metrics look for."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.tracking.journal import Journal, Metrics
from stsflow.tasks.tracking.system import SystemMetrics

NAMES = {"cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage"}


def points(journal: Journal) -> list[tuple[str, float, int, int]]:
    return [point for _, entry in journal.after(0) if isinstance(entry, Metrics) for point in entry.points]


def test_a_sample_has_the_names_of_mlflow_and_a_second_one_comes_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    machine = SystemMetrics(journal)
    assert not points(journal)  # until something is trained
    machine.sample()
    machine.sample()
    found = points(journal)
    assert {f"system/{name}" for name in NAMES} <= {name for name, *_ in found}
    assert len({name for name, *_ in found}) == len(found)  # one sample
    assert {step for *_, step in found} == {0}
    share = next(value for name, value, *_ in found if name == "system/system_memory_usage_percentage")
    assert 0 < share < 100


def test_a_run_that_goes_on_continues_its_steps(tmp_path: Path) -> None:
    """Else MLflow would be asked whether it has a point of that step, and the new one would be left out."""
    journal = Journal(tmp_path / "journal.jsonl")
    SystemMetrics(journal).sample()
    ((name, value, moment, _), *_) = points(journal)
    path = tmp_path / "resumed.jsonl"
    resumed = Journal(path)
    resumed.append(Metrics(points=((name, value, moment - 90_000, 0),)))
    SystemMetrics(Journal(path)).sample()
    assert {step for *_, step in points(resumed)[1:]} <= {90, 91, 92, 93, 94, 95}
