"""Source is parsed from several threads at a time."""

from __future__ import annotations

import ast
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stsflow.tasks.ground.syntax import parse_python


@pytest.fixture
def threads_that_meet() -> Iterator[None]:
    """Another thread gets its turn in the middle of a tree: collections are frequent, and each lets go of the lock."""

    def let_go(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(let_go)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(let_go)


@pytest.mark.usefixtures("threads_that_meet")
def test_trees_of_several_threads_are_whole() -> None:
    source = Path(ast.__file__).read_bytes()[:20_000].rpartition(b"\nclass ")[0]
    with ThreadPoolExecutor(4) as threads:
        trees = list(threads.map(parse_python, [source] * 8))
    assert {ast.dump(tree) for tree in trees} == {ast.dump(ast.parse(source))}
