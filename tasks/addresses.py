"""Network addresses as they may be shown: in messages, records, MLflow and cards."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def without_credentials(address: str) -> str:
    """The address without user, password, query and fragment: signed links carry their secret in the query."""
    parts = urlsplit(address)
    if not parts.netloc:
        return address
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def is_url(text: str) -> bool:
    """Whether `text` is an http or https address rather than a path."""
    return text.lower().startswith(("http://", "https://"))
