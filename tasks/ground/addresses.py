"""Network addresses: what a recipe may write, what a request sends, and what may be shown or kept.

User, password, query and fragment of an address are credentials by rule: a signed link carries its secret in the query,
and nobody can tell such a query from a harmless one. They stand in no recipe and in nothing that is made of one (run
folder, card, MLflow, Prefect), because an address that holds them is refused at reading. A recipe names a variable of
the environment instead, `https://host/sts.csv?${STS_QUERY}`; its value exists in the request alone (`filled_in`).
Whatever is shown or kept goes through `without_credentials` or, when an address may stand inside it, `fit_to_show`.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from stsflow.tasks.ground.errors import DataError

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}", re.ASCII)
# name=${VARIABLE} or ${VARIABLE}, joined with &: nothing in it is a value.
_QUERY_OF_REFERENCES = re.compile(r"(?:[\w.~-]+=)?\$\{[A-Za-z_]\w*\}(?:&(?:[\w.~-]+=)?\$\{[A-Za-z_]\w*\})*", re.ASCII)
# The scheme is bounded: otherwise each letter of a long word would be tried as its beginning.
_INSIDE_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:/{1,2}[^\s'\"`<>]+")
_ADDRESS = re.compile(r"(?P<scheme>\s*[A-Za-z][A-Za-z0-9+.-]*:/*)(?P<authority>[^/?#]*)(?P<path>[^?#]*)", re.DOTALL)

LOCAL = ("sqlite:///", "file:///")
"""Addresses of files on this machine, whose names may hold any character."""
INSTEAD = (
    "put it into the environment and write its name, such as `https://host/file.csv?${STS_QUERY}` (with "
    "STS_QUERY='X-Amz-Signature=…'): it is filled in when the file is fetched and written nowhere"
)


def is_url(text: str) -> bool:
    """Whether `text` is an http or https address rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def without_credentials(address: str) -> str:
    """The address without user, password, query and fragment, however broken it is; any other text as it is."""
    parts = _ADDRESS.match(address)
    if parts is None or "/" not in parts["scheme"] or address.startswith(LOCAL):
        return address
    return f"{parts['scheme']}{parts['authority'].rpartition('@')[2]}{parts['path']}"


def fit_to_show(value: Any) -> Any:
    """A text, list or mapping as it was written, without the credentials of the addresses in it."""
    if isinstance(value, str):
        return _INSIDE_TEXT.sub(_bare_unless_only_names, value)
    if isinstance(value, dict):
        return {fit_to_show(key): fit_to_show(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(fit_to_show(one) for one in value)
    return value


def _bare_unless_only_names(found: re.Match[str]) -> str:
    address, _, query = found[0].partition("?")
    return found[0] if _QUERY_OF_REFERENCES.fullmatch(query) and "@" not in address else without_credentials(found[0])


def path_in(name: str) -> str:
    """The path of an address, unquoted; a file's own path as it is."""
    return unquote(urlsplit(name).path) if is_url(name) else name


def check_address(text: str) -> None:
    """Raise ValueError when `text`, a path or an address of a recipe, holds a credential or cannot be one."""
    if fault := _fault(text):
        raise ValueError(f"{without_credentials(text)!r}: {fault}")


def _fault(text: str) -> str:
    if any(ord(character) < 32 for character in text):
        return "a control character stands in no path and no address"
    if not is_url(text):
        odd = re.match(r"\s*https?:", text, re.IGNORECASE) or "://" in text
        return "this is neither a path nor an address that can be fetched, which begins with https://" if odd else ""
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        return "this is not a well-formed address"
    if "@" in parts.netloc:
        return (
            "an address must not carry a user name or password; put them into ~/.netrc, which is read for the server's "
            "name"
        )
    if parts.query and not _QUERY_OF_REFERENCES.fullmatch(parts.query):
        return f"an address must not carry a query, which may be a secret; {INSTEAD}"
    return "an address must not carry a fragment (what follows #): no server sees it" if "#" in text else ""


def filled_in(address: str) -> str:
    """The address with every `${NAME}` replaced from the environment: for a request, never for a text.

    Raises DataError when the environment lacks a name.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not os.environ.get(name):
            raise DataError(
                f"{without_credentials(address)}: the address refers to {found[0]}, but the environment has no {name}; "
                "set it where the file is fetched."
            )
        return os.environ[name]

    return _REFERENCE.sub(value, address)
