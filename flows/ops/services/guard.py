"""The Prefect server behind checks of Host and Origin.

Prefect 3.8 checks neither: a page of a foreign site can point its own name at 127.0.0.1 (DNS rebinding) or post across
origins, and reach an API that starts processes. Browsers always send both headers, and a page cannot forge them, so
refusing what is not ours closes that door. MLflow has the same checks built in. Programs send no Origin and pass.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HOSTS_VARIABLE = "STSFLOW_PREFECT_ALLOWED_HOSTS"
ORIGINS_VARIABLE = "STSFLOW_PREFECT_ALLOWED_ORIGINS"


class HostGuard:
    """An ASGI application that answers 403 to requests, and closes websockets, whose Host or Origin is not listed."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = self.refusal(scope)
        if refusal is None:
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await WebSocketClose(code=1008, reason=refusal)(scope, receive, send)
        return await PlainTextResponse(refusal, status_code=403)(scope, receive, send)

    def refusal(self, scope: Scope) -> str | None:
        """Why the request is refused, or None. A header that comes twice is refused: the two could disagree."""
        for name, allowed, required in ((b"host", self.hosts, True), (b"origin", self.origins, False)):
            values = [value.decode("latin-1").lower() for key, value in scope["headers"] if key.lower() == name]
            if (required and not values) or len(values) > 1 or any(value not in allowed for value in values):
                return f"{name.decode().capitalize()} header not allowed"
        return None


def create_app() -> ASGIApp:
    """The whole Prefect server (API, UI, background services) behind the guard; uvicorn's factory.

    The lists come from STSFLOW_PREFECT_ALLOWED_HOSTS and STSFLOW_PREFECT_ALLOWED_ORIGINS, separated by commas. With
    PREFECT__SERVER_WEBSERVER_ONLY=1 the background services run elsewhere (`prefect server services start`).
    """
    from prefect.server.api.server import create_app as create_prefect

    return HostGuard(create_prefect(final=True), _listed(HOSTS_VARIABLE), _listed(ORIGINS_VARIABLE))


def _listed(variable: str) -> list[str]:
    return [entry.strip() for entry in os.environ.get(variable, "").split(",") if entry.strip()]
