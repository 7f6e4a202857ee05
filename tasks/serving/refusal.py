"""A request that is refused: the status and the sentence, in the shape that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

INVALID = "invalid_request_error"
KINDS = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
"""`error.type` by status; any other one is `invalid_request_error`."""


class RequestRefused(Exception):
    """One request is refused; the next one may be fine."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The answer: `{"error": {"message", "type", "param", "code"}}`."""
        kind = KINDS.get(self.status, INVALID)
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
