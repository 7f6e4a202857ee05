"""Work on one item after another by several processors, where most of it is done outside of Python's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], most: int) -> Iterator[Result]:
    """What `work` makes of each item, in their order; at most `most` at a time, and one item more lies in memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(cores, most)
    with ThreadPoolExecutor(cores) as threads:
        begun: deque[Future[Result]] = deque()
        for item in items:
            begun.append(threads.submit(work, item))
            if len(begun) > cores:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
