"""Trainings that run several at a time, each watched by a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

SECONDS_BETWEEN_LOOKS = 1.0
Result = TypeVar("Result")


def side_by_side(
    jobs: Iterator[Callable[[], Result]], parallel: int, stopped: threading.Event, tell: Callable[[Result], None]
) -> None:
    """Run the jobs, `parallel` at a time, each asked for when there is room for it; `tell` hears of each as it ends.

    One at a time runs in this thread. What a job or `tell` raises, and a signal, sets `stopped`, on which jobs that are
    at work are to end, and is raised when they have.
    """
    if parallel == 1:
        for job in jobs:
            tell(job())
        return
    waiting: set[Future[Result]] = set()
    with ThreadPoolExecutor(parallel, thread_name_prefix="training") as threads:
        try:
            while True:
                while len(waiting) < parallel and (following := next(jobs, None)) is not None:
                    waiting.add(threads.submit(copy_context().run, following))
                if not waiting:
                    return
                # In pieces: a signal that comes as a wait without end begins would be seen at its end.
                done, waiting = wait(waiting, timeout=SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                for future in done:
                    tell(future.result())
        except BaseException:
            stopped.set()
            raise
