"""The Prefect server that a person has named: whether there is one, and whether it answers."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stsflow.flows.ops.loopback import LOOPBACK
from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError

ANSWER_SECONDS = 15.0


def names_a_prefect_server() -> bool:
    """Whether the environment, a settings file or the active profile names a Prefect server; Prefect is not imported.

    The places are those that Prefect 3 reads: `.env`, `prefect.toml` and `pyproject.toml` of the working directory, and
    the profile.
    """
    if os.environ.get("PREFECT_API_URL"):
        return True
    settings = _toml(Path("prefect.toml")) or _toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})
    if settings.get("api", {}).get("url"):
        return True
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = Path(".env").read_text(encoding="utf-8").splitlines()
        if any(line.removeprefix("export ").strip().startswith("PREFECT_API_URL=") for line in lines):
            return True
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    profiles = _toml(Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"))
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    return "PREFECT_API_URL" in profiles.get("profiles", {}).get(active, {})


def require_configured_server() -> None:
    """Raise PreconditionError when it does not answer, or does not let us in; any other answer is Prefect's to judge.

    Prefect itself would end with a traceback, or try for minutes.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

    address, own = (PREFECT_API_URL.value() or "").rstrip("/"), (PREFECT_API_AUTH_STRING.value() or "").encode()
    password = {"Authorization": f"Basic {base64.b64encode(own).decode()}"} if own else {}
    try:
        if not address.startswith(("http://", "https://")):
            raise ValueError("an address begins with http:// or https://")
        parts = urlsplit(address)
        here = parts.port is not None and parts.hostname in LOOPBACK  # no proxy reaches that
        opener = urllib.request.build_opener(*((urllib.request.ProxyHandler({}),) if here else ()))
        # Its version is, unlike its health, for those alone who know the password.
        with opener.open(urllib.request.Request(f"{address}/admin/version", headers=password), timeout=ANSWER_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403) or PREFECT_API_KEY.value():
            return
        raise PreconditionError(
            f"the Prefect server at {without_credentials(address)} does not let us in (status {error.code}); set "
            "PREFECT_API_AUTH_STRING to `user:password`, or give the command in the workspace of `stsflow up`"
        ) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise PreconditionError(
            f"the Prefect server at {without_credentials(address)} (PREFECT_API_URL, or the active profile) does not "
            f"answer: {getattr(error, 'reason', error)}; start it (`stsflow up`), correct the address, or unset it to "
            "use an embedded server"
        ) from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
