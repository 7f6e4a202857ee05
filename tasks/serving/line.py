"""Texts that wait for the model: who is next, so that a large request does not hold up small ones."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from stsflow.tasks.serving.refusal import RequestRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.serving.model import ServedModel


@dataclass(eq=False)
class Work:
    """The texts of one request, for the model that was served when it came."""

    model: ServedModel
    prompt: str
    texts: tuple[str, ...]
    lengths: list[int]
    """Tokens that the model reads of each text, at most as many as it takes."""
    finish: Callable[[NDArray[np.float32] | Exception], object]
    """Called once, from the thread of the model: with the embeddings, (texts, dimension), or with what went wrong."""
    came: float = field(default_factory=time.monotonic)
    abandoned: bool = False
    """Whoever asked is gone: what is left of it is not embedded."""
    order: list[int] = field(init=False)
    """Numbers of the texts that nobody took yet, the next one last; longest first, so that neighbours are alike."""
    rows: NDArray[np.float32] | None = None
    left: int = field(init=False)
    """Texts without an embedding."""

    def __post_init__(self) -> None:
        self.order = sorted(range(len(self.texts)), key=lambda number: self.lengths[number])
        self.left = len(self.texts)


class Taken(NamedTuple):
    """One text of a batch."""

    work: Work
    number: int

    @property
    def length(self) -> int:
        """Tokens that the model reads of it."""
        return self.work.lengths[self.number]


class Line:
    """Requests that wait. `join` may be called from any thread, `take` is for the one that has the model."""

    def __init__(self, most_texts: int, batch_tokens: int) -> None:
        """At most `most_texts` wait; a batch holds `batch_tokens` tokens, or one text that is longer."""
        self.most_texts, self.batch_tokens = most_texts, batch_tokens
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.texts = 0
        """Texts that wait."""

    def join(self, work: Work) -> None:
        """Wait for the model; raises RequestRefused (429) when too many wait. A request is never too large for an empty
        line.
        """
        with self._changed:
            if self.texts and self.texts + len(work.texts) > self.most_texts:
                raise RequestRefused(
                    429, f"{self.texts:,} texts wait to be embedded, and with these it would be more than "
                    f"{self.most_texts:,}; ask again later", code="too_many_waiting", headers={"Retry-After": "1"},
                )  # fmt: skip
            self._waiting.append(work)
            self.texts += len(work.texts)
            self._changed.notify()

    def take(self) -> list[Taken]:
        """The next batch: one text of each request in turn, until it is full; waits for the first one. Empty once the
        line is closed and nobody is left.

        The request whose text did not fit is first the next time, so that each gets its turn, and a request of
        thousands of texts takes what the others leave.
        """
        with self._changed:
            taken: list[Taken] = []
            tokens = 0
            while not taken:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return []
                while self._waiting:
                    work = self._waiting[0]
                    if work.abandoned:
                        self._leave(work)
                        continue
                    tokens += work.lengths[work.order[-1]]
                    if taken and tokens > self.batch_tokens:
                        break
                    taken.append(Taken(work, work.order.pop()))
                    self._waiting.rotate(-1)
                    self.texts -= 1
                    if not work.order:
                        self._waiting.pop()
            return taken

    def close(self) -> None:
        """Let `take` end when nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _leave(self, work: Work) -> None:
        self._waiting.remove(work)
        self.texts -= len(work.order)
