"""One holder at a time for a key, across processes; the holder's death frees it.

A lease is an advisory lock on a file. The operating system drops it with the process, however that ends, so a lease is
never stale: who waits, waits for somebody alive.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

POLL_SECONDS = 0.1


@contextmanager
def lease(path: Path, *, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock file `path` inside the block.

    While another process holds it, wait; `on_wait` is told once who that is (process id and since when).
    """
    with one_of([path], on_wait=on_wait):
        note = _note(path)
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            note.write_text(json.dumps({"pid": os.getpid(), "since": since}), encoding="utf-8")
            yield
        finally:
            note.unlink(missing_ok=True)


@contextmanager
def one_of(paths: Sequence[Path], *, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
    """Hold one of the lock files, the first that is free; wait while none is. `on_wait` is told once, as in `lease`."""
    told = False
    while True:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as held:
                try:
                    held.enter_context(FileLock(path).acquire(timeout=0))
                except Timeout:
                    continue
                yield path
                return
        if not told:
            note = _read_note(paths[0])
            on_wait(f"process {note['pid']}, since {note['since']}" if note else "another process")
            told = True
        time.sleep(POLL_SECONDS)  # an advisory lock has no event to wait for among several


def holder_of(path: Path) -> int | None:
    """Id of the process that holds the lock file `path`, as its note says; None when there is no note to read."""
    return note["pid"] if (note := _read_note(path)) else None


def _note(path: Path) -> Path:
    return path.with_suffix(".holder")


def _read_note(path: Path) -> dict[str, Any]:
    """Process id and since when; empty when there is no note to read."""
    try:
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        return {"pid": int(note["pid"]), "since": str(note["since"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
