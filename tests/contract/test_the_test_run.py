"""What a run of the tests promises on a busy or bare machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from patience import patience

CHECKOUT = Path(__file__).resolve().parents[2]
TESTS = """
import time
import pytest

@pytest.fixture(scope="module")
def slow_set_up():
    time.sleep(1.2)

def test_that_shares_it(slow_set_up):
    pass

def test_that_hangs():
    time.sleep(600)

@pytest.mark.parametrize("case", range(3))
def test_that_lacks_something(case):
    pytest.skip("a thing was not found: apt install thing")
"""


def test_a_slow_set_up_fails_nothing_a_hang_is_ended_and_what_was_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(CHECKOUT / "pyproject.toml"), "-p", "tests.conftest",
         "-p", "no:cacheprovider", "--timeout=1", str(tmp_path)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests" / "fixtures")]), "COLUMNS": "400"},
        cwd=tmp_path, capture_output=True, text=True, timeout=patience(120), check=False,
    )  # fmt: skip
    assert "1 failed, 1 passed, 3 skipped" in done.stdout, done.stdout + done.stderr
    assert "test_it.py::test_that_hangs - Failed: Timeout" in done.stdout
    _, _, said = done.stdout.partition("not run: 3, because")
    assert said.splitlines()[1] == "   3  a thing was not found: apt install thing"
