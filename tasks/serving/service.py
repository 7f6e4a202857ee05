"""What a running server holds: the model that new requests get, the line, the limits; and the way of one question."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.serving.limits import Limits
from stsflow.tasks.serving.line import Line, Work
from stsflow.tasks.serving.metrics import Metrics
from stsflow.tasks.serving.model import ServedModel
from stsflow.tasks.serving.question import Question
from stsflow.tasks.serving.refusal import RequestRefused
from stsflow.tasks.serving.worker import Worker

Gone: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What ends when whoever asked has gone away."""


class Embedded(NamedTuple):
    """The answer to a question."""

    model: ServedModel
    rows: NDArray[np.float32]
    """(texts, dimensions)."""
    tokens: int
    """Tokens that the model read, prompts and special tokens included."""
    truncated: tuple[bool, ...]
    """Of each text whether it was cut."""


class Service:
    """One server's state. New requests get `model`, which may be replaced at any time; each keeps the one it got."""

    def __init__(self, model: ServedModel, limits: Limits, key: str | None = None) -> None:
        """Serve `model` within `limits`; with `key`, to those alone who bring it."""
        self.limits, self._key = limits, key
        self.line = Line(limits.waiting, limits.batch_tokens)
        self.metrics = Metrics(self.line)
        self.worker = Worker(self.line, self.metrics)
        self.stopping = False
        """Whether new requests are refused, because the server ends."""
        self.under_way = 0
        """Requests that are read, wait or run."""
        self.bytes_held = 0
        """Size of their bodies."""
        self.answered = 0
        self.model = model
        self.serve(model)

    def serve(self, model: ServedModel) -> None:
        """From now on new requests get this model; those that came before keep theirs."""
        self.model = model
        self.metrics.serves(model)

    def check_key(self, authorization: str | None) -> None:
        """Raise RequestRefused (401) unless the header holds the server's key, where it has one."""
        if self._key is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        # Compared whatever was given: how long that takes tells nothing of the key.
        right = hmac.compare_digest(given.strip().encode("latin-1"), self._key.encode())  # headers come as latin-1
        if scheme.lower() != "bearer" or not right:
            raise RequestRefused(
                401, "this server wants its key: the header `Authorization: Bearer KEY`", code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    async def answer(self, question: Question, gone: Gone) -> Embedded | None:
        """The embeddings that `question` asks for; None when `gone` ended first.

        Raises RequestRefused: another model (404), more dimensions than there are, a text without a token, or one too
        long where the question forbids to cut (400), too many that wait (429), a fault of the model (500).
        """
        model = self.model
        if question.model is not None and question.model not in model.located.names:
            raise RequestRefused(
                404, f"model: found {question.model[:200]!r}; served: {', '.join(sorted(model.located.names))}",
                param="model", code="model_not_found",
            )  # fmt: skip
        if question.dimensions is not None and question.dimensions > model.dimension:
            raise RequestRefused(
                400, f"dimensions: found {question.dimensions:,}; the model gives {model.dimension:,}",
                param="dimensions",
            )  # fmt: skip
        prompt = model.prompt(question.side)
        uncut = await asyncio.to_thread(model.lengths, question.texts, prompt)
        truncated = _check_lengths(uncut, model.longest, question.truncate)
        lengths = [min(length, model.longest) for length in uncut]
        rows = await self._embed(model, prompt, question.texts, lengths, gone)
        if rows is None:
            return None
        self.metrics.texts.labels(question.side or "none").inc(len(lengths))
        self.metrics.tokens.inc(sum(lengths))
        self.metrics.truncated.inc(sum(truncated))
        return Embedded(model, cut_to(rows, question.dimensions), sum(lengths), truncated)

    async def _embed(
        self, model: ServedModel, prompt: str, texts: tuple[str, ...], lengths: list[int], gone: Gone
    ) -> NDArray[np.float32] | None:
        """The embeddings of the texts; None when `gone` ended first."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[NDArray[np.float32] | Exception] = loop.create_future()

        def deliver(found: NDArray[np.float32] | Exception) -> None:
            if not done.done():
                done.set_result(found)

        work = Work(model, prompt, texts, lengths, lambda found: loop.call_soon_threadsafe(deliver, found))
        self.line.join(work)
        leaving = asyncio.create_task(gone())
        either: set[asyncio.Future[Any]] = {done, leaving}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.abandoned = not done.done()
            leaving.cancel()
        if not done.done():
            return None
        found = done.result()
        if isinstance(found, Exception):
            raise RequestRefused(500, "the model could not embed this; the server's log says why") from found
        return found


def cut_to(rows: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """The first numbers of each row, brought to length one; the rows as they are where nothing is cut."""
    if dimensions is None or dimensions == rows.shape[1]:
        return rows
    cut = rows[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.ascontiguousarray(cut / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _check_lengths(lengths: list[int], longest: int, truncate: bool) -> tuple[bool, ...]:
    for place, length in enumerate(lengths):
        if length == 0:
            raise RequestRefused(400, f"input: the text at place {place} has no token for this model", param="input")
        if length > longest and not truncate:
            raise RequestRefused(
                400, f"input: the text at place {place} has {length:,} tokens with its prompt; the model reads "
                f"{longest:,}, and truncate is false", param="input", code="text_too_long",
            )  # fmt: skip
    return tuple(length > longest for length in lengths)
