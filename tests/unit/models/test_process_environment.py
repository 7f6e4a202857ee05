"""A child gets threads and an allocator that fit the machine; what the user has set stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stsflow.tasks.models import process_environment as module
from stsflow.tasks.models.process_environment import process_environment, usable_cores


def topology(root: Path, siblings: dict[int, str], quota: str | None = None) -> Path:
    for number, text in siblings.items():
        folder = root / "devices/system/cpu" / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    if quota is not None:
        (root / "fs/cgroup").mkdir(parents=True)
        (root / "fs/cgroup/cpu.max").write_text(quota + "\n")
    return root


@pytest.mark.parametrize(
    ("siblings", "quota", "expected"),
    [
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, None, 2),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "max 100000", 4),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "150000 100000", 2),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "20000 100000", 1),
    ],
)
def test_cores_are_physical_and_within_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], quota: str | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 2, 3}, raising=False)
    assert usable_cores(topology(tmp_path, siblings, quota)) == expected


def test_affinity_limits_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3}, raising=False)
    assert usable_cores(topology(tmp_path, {3: "2-3"})) == 1


def test_threads_are_shared_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    assert process_environment(current={})["OMP_NUM_THREADS"] == "8"
    assert process_environment(processes=3, current={})["OMP_NUM_THREADS"] == "2"
    assert process_environment(5, current={"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "5"


def test_what_the_user_has_set_stays() -> None:
    mine = {"OMP_NUM_THREADS": "1", "GLIBC_TUNABLES": "x", "OMP_WAIT_POLICY": "active"}
    assert not set(mine) & set(process_environment(current=mine))


@pytest.mark.skipif(sys.platform != "linux", reason="GLIBC_TUNABLES is read by glibc")
def test_the_allocator_keeps_its_memory() -> None:
    # Taking and freeing 64 MB six times: a page fault for each of 16,384 pages, every time or the first time only.
    code = (
        "import numpy as np, resource\n"
        "for _ in range(6): np.ones(1 << 23)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
    )

    def faults(environment: dict[str, str]) -> int:
        inherited = {name: value for name, value in os.environ.items() if name not in module.SETTINGS}
        # Huge pages would fault once for 512 pages; numpy asks for them.
        inherited["NUMPY_MADVISE_HUGEPAGE"] = "0"
        ran = subprocess.run([sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True)
        return int(ran.stdout)

    assert faults(process_environment(current={})) < faults({}) / 2
