"""The HTTP side: routes, bodies read within their bounds, answers in the shape of OpenAI's."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from stsflow.tasks.serving.question import Question, read_question
from stsflow.tasks.serving.refusal import RequestRefused
from stsflow.tasks.serving.service import Embedded, Service

logger = logging.getLogger(__name__)

READ_AND_DROPPED = 64 * 2**20
"""Bytes of a body that is too large which are read all the same: a client that still sends reads no answer."""
GONE = 499
"""Status, in the counters alone, of a request whose sender went away."""


def application(service: Service) -> Starlette:
    """The server's routes around `service`."""

    async def embeddings(request: Request) -> Response:
        started = time.monotonic()
        service.under_way += 1
        service.metrics.under_way.inc()
        status = 500
        try:
            response = await _embeddings(service, request)
            if (status := response.status_code) == 200:
                service.answered += 1
                service.metrics.seconds.observe(time.monotonic() - started)
            return response
        except RequestRefused as refused:
            status = refused.status
            return refusal(refused)
        except ClientDisconnect:
            status = GONE
            return Response(status_code=GONE)
        finally:
            service.under_way -= 1
            service.metrics.under_way.dec()
            service.metrics.requests.labels(status).inc()

    async def models(request: Request) -> Response:
        try:
            service.check_key(request.headers.get("authorization"))
        except RequestRefused as refused:
            return refusal(refused)
        return _json({"object": "list", "data": [_described(service)]})

    async def health(_request: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(_request: Request) -> Response:
        if service.stopping or not service.worker.is_alive():
            return _json({"status": "stopping" if service.stopping else "the model's thread ended"}, 503)
        return _json({"status": "ready", "model": service.model.located.label})

    async def metrics(_request: Request) -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    routes = [
        Route("/v1/embeddings", embeddings, methods=["POST"]), Route("/v1/models", models), Route("/health", health),
        Route("/ready", ready), Route("/metrics", metrics),
    ]  # fmt: skip
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_such_page, Exception: _fault})


async def _embeddings(service: Service, request: Request) -> Response:
    if service.stopping:
        raise RequestRefused(503, "the server ends", code="stopping", headers={"Connection": "close"})
    service.check_key(request.headers.get("authorization"))
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRefused(415, f"Content-Type: found {kind[:60]!r}; allowed: application/json")
    async with _body(service, request) as body:
        question = read_question(body, service.limits)
        found = await service.answer(question, partial(_gone, request))
    return Response(status_code=GONE) if found is None else _answer(question, found)


@asynccontextmanager
async def _body(service: Service, request: Request) -> AsyncIterator[bytes]:
    """The whole body, counted in `service.bytes_held` for the block; raises RequestRefused when it is too large (413),
    or when all that are there together are (429).
    """
    most, held = service.limits.body_bytes, 0
    stated = request.headers.get("content-length", "")
    too_large = int(stated) > most if stated.isdigit() and len(stated) < 20 else bool(stated)
    parts: list[bytes] = []
    try:
        if not (too_large and "expect" in request.headers):  # who asks first has sent nothing yet
            read = 0
            async for part in request.stream():
                read += len(part)
                too_large = too_large or read > most
                if too_large:
                    parts.clear()
                    if read > READ_AND_DROPPED:
                        break
                    continue
                service.bytes_held += len(part)
                held += len(part)
                if service.bytes_held > service.limits.bytes_at_once:
                    raise RequestRefused(
                        429, "the requests that are under way fill the memory they may take; ask again later",
                        code="too_many_waiting", headers={"Retry-After": "1"},
                    )  # fmt: skip
                parts.append(part)
        if too_large:
            raise RequestRefused(
                413, f"the body is larger than {most / 2**20:g} MiB; send fewer texts at a time", code="body_too_large"
            )
        yield b"".join(parts)
    finally:
        service.bytes_held -= held


async def _gone(request: Request) -> None:
    """Ends when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(question: Question, found: Embedded) -> Response:
    rows: Any = found.rows
    if question.form == "base64":
        rows = [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in found.rows]
    data = [
        {"object": "embedding", "index": place, "embedding": row, "truncated": cut}
        for place, (row, cut) in enumerate(zip(rows, found.truncated, strict=True))
    ]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens, "truncated": sum(found.truncated)}
    return _json({"object": "list", "data": data, "model": found.model.located.label, "usage": usage})


def _described(service: Service) -> dict[str, Any]:
    model = service.model
    return {
        "id": model.located.label, "object": "model", "created": int(model.loaded_at), "owned_by": "stsflow",
        "names": sorted(model.located.names), "digest": model.located.digest, "dimensions": model.dimension,
        "max_tokens": model.longest,
        "prompts": {"none": model.prompt(None), "query": model.prompt("query"), "document": model.prompt("document")},
    }  # fmt: skip


def refusal(refused: RequestRefused) -> Response:
    """The answer to a request that is refused."""
    return _json(refused.body, refused.status, refused.headers)


def _no_such_page(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "there is no such page; there are /v1/embeddings, /v1/models, /health, /ready and /metrics"}
    sentence = said.get(error.status_code, f"{error.detail}: /v1/embeddings takes POST, the others GET")
    return refusal(RequestRefused(error.status_code, sentence, headers=dict(error.headers or {})))


def _fault(_request: Request, _error: Exception) -> Response:
    return refusal(RequestRefused(500, "a fault of the server; its log says which"))


def _json(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, media_type="application/json")
